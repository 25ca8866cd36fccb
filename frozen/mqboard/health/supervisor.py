"""Owns every task, restarts the ones that die, and alone feeds the watchdog.

The watchdog is fed from this loop, once a second, so a blocked event loop starves it; and when a
management task dies again and again its exception ends the loop, and with it the boot. The loop
also looks whether a task has ended: a second coroutine around each task, that waits for it, would
take 300 bytes of heap a task.

While a task does not yield, the loop cannot look. A timer interrupts it then, and notes which task
that is: when the watchdog bites, the next boot knows it.
"""

import asyncio
import sys

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms
from mqboard.health.entry import RESTART_MAX_S, RESTART_MIN_S, Entry

_TURN_S = const(1)
_DEATHS_MAX = const(10)  # of one management task; then the board has to be reset
_RESERVE = const(2048)  # bytes that must be free in one piece, or commands cannot be answered
_SPARE = const(512)  # bytes kept for that: to stop a module takes some
_STARVED_MAX = const(3)  # turns in a row without them; then modules have to go
_STOPPED_MAX = const(2)  # and so many turns more, for what they held to be free
_STOP_TURN_S = 0.05
_LATE_MS = const(1300)  # after a turn the next one is late, at the earliest
_LATEST_MS = const(20_000)
_LOOK_MS = const(250)  # half a second is what Ctrl-C may take


class Supervisor:
    """Runs tasks. `feed()` feeds the watchdog, which bites after `timeout_ms`; `box` is the
    health.blackbox; `turn()`, if given, is called once a second."""

    _fatal = None  # what a vital task died of too often
    _suspect = None  # the last entry that was stopped while the heap was full

    def __init__(self, feed, timeout_ms, box, log):
        self._feed = feed
        self._box = box
        self._late_ms = min(max(_LATE_MS, timeout_ms // 3), _LATEST_MS)
        # Between two calls of `look`.
        self.look_ms = min((timeout_ms - self._late_ms) // 2, _LOOK_MS)
        self.turn = None
        self.watch = None  # called with each look, while there is code to interrupt
        self._late = False  # that the loop does not turn is noted
        self._starved = 0
        self._log = log
        self._entries = []
        self.seconds = 0  # since the start, counted turn by turn: ticks_ms wraps after some days
        self._millis = 0  # and so many milliseconds
        self._last = ticks_ms()
        self._spare = bytearray(_SPARE)

    def add(self, name, start, vital=True):
        """Run `await start()`; again, after a pause, when it dies of an exception.

        A vital task is one that never returns. Its deaths count against the board's health, and
        to return or to be cancelled is a death for it. A user's module is not vital.
        """
        for entry in list(self._entries):
            # Those that come many times a second would be many until our next turn.
            if not (entry.vital or entry.stopped) and entry.returned():
                self._entries.remove(entry)
        entry = Entry(name, start, self.seconds)
        if not vital:
            entry.vital = False
        self._entries.append(entry)

    def find(self, name):
        """Return what is known of a task, or None when it has ended: its `task` (None while it
        waits), `deaths`, `pause` (seconds), `since` (when the task or the pause began).
        """
        for entry in self._entries:
            if entry.name == name:
                return entry
        return None

    async def stop(self, name, timeout_s):
        """Cancel a task that is not vital, for good; return whether it has ended in time.

        One that will not end stays in our care.
        """
        entry = self.find(name)
        if entry is None:
            return True
        self._entries.remove(entry)  # so that it is not started again
        if entry.task:
            entry.task.cancel()
            turns = int(timeout_s / _STOP_TURN_S)
            while not entry.task.done():
                if not turns:
                    self._entries.append(entry)
                    return False
                turns -= 1
                await asyncio.sleep(_STOP_TURN_S)
        return True

    def forget(self, name):
        """Let go of a task at its end: it would keep all that it has until the next turn."""
        self._entries.remove(self.find(name))

    def calm_s(self):
        """Return the seconds that all vital tasks have run; 0 while one waits for its restart."""
        since = 0
        for entry in self._entries:
            if entry.vital:
                if not entry.task or entry.task.done():
                    return 0
                since = max(since, entry.since)
        return self.seconds - since

    async def run(self):
        """Feed the watchdog, for ever; raise what a vital task died of too often, or MemoryError.

        Cancels the tasks when it ends.
        """
        asyncio.get_event_loop().set_exception_handler(self._unheard)
        try:
            while True:
                try:
                    await self._turn()
                except MemoryError:  # a turn itself takes memory
                    self._look_for_memory()
                await asyncio.sleep(_TURN_S)
                self._count_time()
        finally:
            # It would keep us, and with us all tasks, when main.py needs their memory.
            asyncio.get_event_loop().set_exception_handler(None)
            for entry in self._entries:
                if entry.task:
                    entry.task.cancel()

    def _count_time(self):
        now = ticks_ms()
        self._millis += ticks_diff(now, self._last)
        self._last = now
        self.seconds += self._millis // 1000
        self._millis %= 1000

    async def _turn(self):
        try:
            # Not in the loop of `run`: there the last entry and its task would stay alive for ever.
            for entry in list(self._entries):
                await self._look_after(entry)
        except MemoryError:
            pass  # that is looked for next
        if self._fatal:
            raise self._fatal  # out of the board's run: main.py notes it and resets
        self._look_for_memory()
        self._late = False
        if self.turn:
            self.turn()
        self._feed()

    def look(self, timer):
        """Note what runs if the loop's turn is overdue; a machine.Timer calls this now and then.

        Such a call comes between two bytecodes, whatever runs: in an endless loop, too.
        """
        waited_ms = ticks_diff(ticks_ms(), self._last)
        if waited_ms >= self._late_ms and not self._late:
            self._late = True
            if not self._box.running:  # an eval says so itself
                self._box.run(self._what_runs(asyncio.core.cur_task))
            what, waited_s = self._box.running, waited_ms // 1000
            self._log.warning("all else has waited for %d s for: %s", waited_s, what)
        if self.watch:
            self.watch()  # the last thing: it may interrupt what runs, at the next jump

    def _what_runs(self, task):
        for entry in self._entries:
            if entry.task is task:
                return entry.name if " " in entry.name else "task " + entry.name
        if not task:
            return "unknown"
        # Somebody's own: the function that it runs has a name, and is perhaps a module's.
        name = (repr(task.coro) + "''").split("'")[1]
        for entry in self._entries:
            if hasattr(sys.modules.get(entry.module()), name):
                return entry.name
        return "task " + name

    def _look_for_memory(self):
        """While the heap stays full, stop a module each turn until there is room again: those first
        that were to blame before, then the last ones. Raise MemoryError, which ends the board's
        run, when that does not help.
        """
        try:
            bytearray(_RESERVE)
            self._spare = self._spare or bytearray(_SPARE)
        except MemoryError:
            self._starved += 1
        else:
            self._starved = 0
            self._box.run("")  # what was to blame for the want of it, or for a late turn
            if self._suspect:
                self._suspect.guilty = True
                self._suspect = None
            return
        if self._starved < _STARVED_MAX:
            return
        self._spare = None
        last = self._to_stop()
        if last:
            self._suspect = last
            last.stop(RESTART_MIN_S)
            self._log.error("the heap is full: stopping %s", last.name)
        elif self._starved >= _STARVED_MAX + _STOPPED_MAX:
            raise MemoryError("the heap stays full")

    def make_room(self):
        """Stop a module, the last one first, for a minute: a command found no memory, and may be
        the one that is to help. Return whether there was one.
        """
        last = self._to_stop()
        if last:
            self._log.error("no memory for a command: stopping %s", last.name)
            last.stop(RESTART_MAX_S)
        return last is not None

    def _to_stop(self):
        found = None
        for entry in self._entries:
            if entry.stopped or not entry.is_module():
                continue
            if entry.guilty or not (found and found.guilty):
                found = entry
        return found

    def let_go(self):
        """Let go of all tasks. Return the name of the only module's, None if there are more."""
        name = None
        count = 0
        for entry in self._entries:
            if entry.is_module():
                name = entry.name
                count += 1
        self._entries.clear()
        return name if count == 1 else None

    async def _look_after(self, entry):
        """Look after one task: start it again when its pause is over, note how it ended."""
        if entry.task is None:
            if entry.stopped and self._starved:
                return
            if self.seconds - entry.since >= entry.pause:
                try:
                    entry.begin(self.seconds)
                except MemoryError:
                    return  # after another pause
                if entry.stopped:
                    entry.stopped = 0
        elif entry.task.done():
            try:
                await entry.task  # does not wait: raises what it died of
                error = "it returned"
            except asyncio.CancelledError:
                error = "it was cancelled"
            except Exception as died:
                self._died(entry, died)
                return
            if entry.stopped:
                self._died(entry, MemoryError("the heap was full"))
            elif entry.vital:
                self._died(entry, RuntimeError(error))
            else:
                self._entries.remove(entry)

    def _died(self, entry, error):
        entry.end(self.seconds)
        try:
            if getattr(error, "in_words", False):
                self._log.error("task %s: %s; again in %d s", entry.name, error, entry.pause)
            else:
                self._log.exception(error, "task %s died; again in %d s", entry.name, entry.pause)
        except MemoryError:
            pass  # that is what it died of, then
        if entry.vital and entry.deaths >= _DEATHS_MAX:
            self._box.run("task " + entry.name)
            self._fatal = error

    def _unheard(self, loop, context):
        """Log a task that died unawaited (asyncio calls this); `_look_after` hears of ours."""
        task, error = context["future"], context["exception"]
        # asyncio keeps this dict, and with that task all that were in a queue with it.
        context["future"] = context["exception"] = None
        for entry in self._entries:  # no list: what it died of may be a full heap
            if entry.task is task:
                return
        self._log.exception(error, "a task that nobody waits for died")
