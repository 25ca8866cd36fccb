"""Runs code as a job: what it prints is its output, and it can be interrupted wherever it is.

Code runs in steps: plain code is one, and asynchronous code takes one between two waits. During a
step, which nothing else shares, what is printed is the job's, and a timer's look may interrupt it
(mqboard.repl.jobs). Tasks that it makes in a step belong to it, too, until it ends; whatever they
raise, then or later, the event loop survives it.
"""

import asyncio

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms
from mqboard.repl.output import PATIENCE_MS, Output

_core = getattr(asyncio, "core", None)
if not hasattr(_core, "create_task"):  # CPython, where tests run
    _core = None
_LOOK_S = 0.02
_SHOWN = const(40)  # characters of a text that tell which it was
# For MicroPython every generator is one; CPython has to be told.
coroutine = getattr(asyncio, "coroutine", None) or (lambda function: function)


class Job:
    """Code that the command `request` brought. `jobs` knows it while it runs: see there."""

    task = None  # that runs it, if it may be asynchronous
    began = False
    ended = False
    cancelled = False
    stop = False  # KeyboardInterrupt is to come out of the print that is under way
    heard = ()  # the ids of the cancel commands that it was told of
    looks = 0  # of the timer, in this step
    _flushing = False  # a task waits for the socket

    def __init__(self, jobs, request, source, credit=None):
        self.ident = request.ident
        self.text = source[:_SHOWN].replace("\n", " ")
        self.since = jobs.seconds()
        self.output = Output(request, self, credit)
        self._jobs = jobs
        self._console = jobs.console

    def enter(self):
        """Begin a step."""
        self.looks = 0
        self._capture()
        self._lend()
        self._jobs.inside = self

    def leave(self):
        """End a step. Ctrl-C comes at jumps: one that the code has escaped ends here."""
        jobs = self._jobs
        jobs.inside = None  # before any jump: from here on there is no other
        try:
            if self.stop:
                self.stop = False
        except KeyboardInterrupt:
            self.heard = self.heard[:-1]  # the command itself, when it is taken, ends the job
        self._release()
        self._take_back()
        jobs.catch_up()

    def _capture(self):
        """Have what is printed be the job's output."""
        self._console.capture = self.output.write
        self._jobs.printer.lend(self.output)

    def _release(self):
        self._console.capture = None
        self._jobs.printer.take_back()

    def _lend(self):
        """Have asyncio make tasks that are the job's, and run no second loop."""
        if _core:
            self._create = _core.create_task
            self._run = _core.run_until_complete
            asyncio.create_task = _core.create_task = self._spawn
            _core.run_until_complete = _refuse

    def _take_back(self):
        if _core:
            asyncio.create_task = _core.create_task = self._create
            _core.run_until_complete = self._run

    def hear(self, ident):
        """Take that a cancel command is meant for it; return whether that is news."""
        if ident in self.heard:
            return False
        self.heard += (ident,)
        self.cancelled = True
        return True

    def wait(self, ms):
        """Take packets in the middle of a print, waiting up to `ms` for one."""
        self._release()  # what handlers of others print is theirs, and so are tasks
        self._take_back()
        try:
            self._jobs.pump.take(ms)
        finally:
            self._lend()
            self._capture()
        if self.stop:
            self.stop = False
            raise KeyboardInterrupt

    @coroutine
    def steps(self, coro, child=False):
        """Await `coro` step by step; what it prints is sent when it waits."""
        send, throw = coro.send, coro.throw
        error = None
        while True:
            try:
                wanted = self._step(send, throw, error)
            except StopIteration as end:
                return end.value
            except BaseException as raised:
                if not child or raised is error:
                    raise
                self._soften(raised)
            if not self.ended:
                self._flush()
            try:
                yield wanted
                error = None
                if not self.ended:
                    yield from self._pace()
            except BaseException as thrown:  # cancelled, as a rule: the code is told
                error = thrown

    def _step(self, send, throw, error):
        left = self.ended  # in a task that it left behind
        self._lend() if left else self.enter()
        try:
            return send(None) if error is None else throw(error)
        finally:
            self._take_back() if left else self.leave()

    def _soften(self, raised):
        """Raise what a task of the job's raised, or what the event loop survives instead."""
        if isinstance(raised, (Exception, asyncio.CancelledError)):
            raise raised
        if isinstance(raised, KeyboardInterrupt) and self.task and not self.ended:
            self.task.cancel()
            raise asyncio.CancelledError
        raise RuntimeError("%r in a task" % raised)

    def _flush(self):
        """Send what there is without waiting for the socket; soon, when that is busy."""
        output, pump = self.output, self._jobs.pump
        if not pump.connected():
            output.flush()  # which drops it
            return
        if output.used and not output.short() and pump.at_rest():
            try:
                output.flush_by(pump.publish)
            except OSError:  # the reader finds that out
                return
        if not self._flushing and not pump.at_rest():
            self._flushing = True
            asyncio.create_task(self._flush_later())

    async def _flush_later(self):
        await self._jobs.pump.drain()
        self._flushing = False
        if not self.ended:
            self._flush()

    @coroutine
    def _pace(self):
        """Wait until there is credit for what another step may print, but not for ever."""
        start = None
        while self.output.ahead():
            now = ticks_ms()
            start = start or now
            if ticks_diff(now, start) > PATIENCE_MS:
                self.output.patient = False
            yield from asyncio.sleep(_LOOK_S)

    def _spawn(self, coro):
        """Make a task of the code's as asyncio.create_task does."""
        if not hasattr(coro, "send"):
            raise TypeError("coroutine expected")
        return self._create(self.steps(coro, True))


def _refuse(task=None):
    """Stand in for asyncio's loop, which runs already, and would run within itself."""
    if task:
        task.cancel()
    raise RuntimeError("the board's event loop runs already: await it")
