"""Holds a task of the supervisor's: begins it, stops it, and counts how often it died."""

import asyncio

from micropython import const

RESTART_MIN_S = const(1)
RESTART_MAX_S = const(60)
_FORGIVEN_S = const(3600)  # a task that lived so long has its deaths forgotten
_MODULE = "module "  # how the name of a module's task begins


class Entry:
    """What is known of one task."""

    # In the class while it is so, and not in each entry.
    vital = True
    stopped = 0  # for want of memory: the seconds that it has to wait, at least
    guilty = False  # there was memory again when it had been stopped
    deaths = 0
    pause = 0  # seconds between the last death and the next start

    def __init__(self, name, start, now):
        self.name = name
        self.start = start
        self.begin(now)

    def begin(self, now):
        """Begin the task."""
        self.since = now  # when it began or, while there is no task, when it died
        self.task = asyncio.create_task(self.start())

    def is_module(self):
        """Return whether it is a user's module; takes no memory, of which there may be none."""
        return self.name.startswith(_MODULE)

    def module(self):
        """Return the name of the user's module, "" if it is none."""
        return self.name[len(_MODULE) :] if self.is_module() else ""

    def returned(self):
        """Return whether its task has ended, and of no exception: without waiting for it."""
        task = self.task
        if not task or not task.done():
            return False
        if hasattr(task, "data"):  # MicroPython's
            return isinstance(task.data, StopIteration)
        return not task.cancelled() and not task.exception()

    def stop(self, pause):
        """Stop it for want of memory, for so many seconds at least."""
        self.stopped = pause
        if self.task:
            self.task.cancel()

    def end(self, now):
        """Note that it died: until it begins again, twice the last pause if that was soon."""
        lived = now - self.since
        again = 2 * self.pause if lived <= 2 * RESTART_MAX_S else 0
        self.pause = min(max(again, self.stopped, RESTART_MIN_S), RESTART_MAX_S)
        self.deaths = self.deaths + 1 if lived < _FORGIVEN_S else 1
        self.since = now
        self.task = None
