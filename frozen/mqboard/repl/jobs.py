"""Knows the code that runs, gives it credit for its output, and interrupts it.

What comes for it by a message finds `hear`. While code keeps everybody else from running, nobody
takes messages: then a timer's `look` sends pings and what was printed, looks through what has come
for a `cancel`, and if there is one, raises KeyboardInterrupt in the code. The message stays, and is
answered in its turn.
"""

import mqwire
from mqboard.mqtt.pump import Pump
from mqboard.repl.job import Job
from mqboard.repl.printing import Printer

MOST = 4  # at a time


class Jobs:
    """The code that runs on `board`: `all`, the Job that began first in front."""

    inside = None  # the Job that makes a step right now
    _found = None  # a cancel that was seen in `look`

    def __init__(self, board):
        self.console = board.console
        self.pump = Pump(board.client)
        self.printer = Printer()
        self.all = []
        self._board = board
        self._cancel = mqwire.command_topic(board.config.prefix, "cancel", "").encode()

    def seconds(self):
        """Return the seconds since the board's start."""
        return self._board.supervisor.seconds

    def catch_up(self):
        """Take what `look` read: nobody else would know that it is there."""
        if self._board.client.reader.end:
            self.pump.take(0)

    def hear(self, command, ident, tail, payload):
        """Take a command, if it is about code that runs; the router answers it all the same."""
        if command == "credit":
            for job in self.all:
                if job.ident == ident and bytes(payload[mqwire.HEADER_SIZE :]).isdigit():
                    job.output.grant(int(bytes(payload[mqwire.HEADER_SIZE :])))
        elif command == "cancel":
            for job in list(self.all):
                if _is_meant(job, tail, payload):
                    self._end(job, ident)

    def _end(self, job, ident):
        if not job.hear(ident):
            return  # `look` was first
        if job is self.inside:  # it takes packets itself, in the middle of a print
            job.stop = True
        elif job.task and job.began:
            job.task.cancel()

    def look(self):
        """Serve the connection, if a step takes long; a timer calls this, between two bytecodes."""
        job = self.inside
        if not job or self.pump.busy:
            return
        job.looks += 1
        if job.looks < 2 or job.output.busy:
            return
        output = job.output
        try:
            if output.used and not output.short() and self.pump.at_rest():
                output.flush_by(self.pump.publish)
            self.pump.ping()
            self._found = None
            self.pump.peek(self._look_at)
        except (OSError, MemoryError):
            return  # the reader finds that out
        if self._found and job.hear(self._found):
            self.console.interrupt()  # the last thing: it comes at the next jump

    def _look_at(self, topic, payload):
        if topic[: len(self._cancel)] != self._cancel:
            return
        try:
            topic = str(topic, "utf-8")
        except UnicodeError:
            return  # no command: the next message may be one
        ident, _, tail = topic[len(self._cancel) :].partition("/")
        job = self.inside
        if ident in job.heard:
            return
        guard = self._board.router.guard
        if guard:
            payload = guard.peek(topic, payload)
        if payload and _is_meant(job, tail, payload):
            self._found = ident


def _is_meant(job, tail, payload):
    return tail == job.ident or not tail and payload[mqwire.HEADER_SIZE :] == b"all"


def begin(board, request, source, credit=None):
    """Return a Job that has begun, among others of `board`. `end` it."""
    router = board.router
    all_jobs = router.jobs or Jobs(board)
    job = Job(all_jobs, request, source, credit)
    all_jobs.all.append(job)
    if not router.jobs:  # last: whatever fails here leaves nothing behind
        board.supervisor.watch = all_jobs.look
        router.jobs = all_jobs
    return job


def end(board, job):
    """Take that a job is over."""
    job.ended = True
    jobs = board.router.jobs
    jobs.all.remove(job)
    if not jobs.all:
        board.router.jobs = board.supervisor.watch = None
