"""The supervisor: owns every task, restarts the ones that die, and alone feeds the watchdog.

The watchdog is fed from this loop, once a second, so a blocked event loop starves it; and it is
fed only while the management tasks stay alive.
"""

import asyncio

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms

_TURN_S = const(1)
_RESTART_MIN_S = const(1)
_RESTART_MAX_S = const(60)
_DEATHS_MAX = const(10)  # of one management task; then the watchdog is left to bite


class _Entry:
    def __init__(self, name, start, vital):
        self.name = name
        self.start = start
        self.vital = vital
        self.deaths = 0


class Supervisor:
    """`feed()` feeds the hardware watchdog."""

    def __init__(self, feed, log):
        self._feed = feed
        self._log = log
        self._entries = []
        self._tasks = []
        self._calm_since = ticks_ms()

    def add(self, name, start, vital=True):
        """Run `await start()`; again, after a pause, when it dies of an exception.

        Deaths of a vital task count against the board's health; a user's module is not vital.
        """
        entry = _Entry(name, start, vital)
        self._entries.append(entry)
        self._tasks.append(asyncio.create_task(self._keep(entry)))

    def calm_s(self):
        """Seconds since the start or since the last death of a vital task."""
        return ticks_diff(ticks_ms(), self._calm_since) / 1000

    async def _keep(self, entry):
        pause = _RESTART_MIN_S
        while True:
            started = ticks_ms()
            try:
                await entry.start()
                return
            except Exception as error:
                entry.deaths += 1
                self._log.exception(error, "task %s died; again in %d s", entry.name, pause)
                if entry.vital:
                    self._calm_since = ticks_ms()
            await asyncio.sleep(pause)
            lived = ticks_diff(ticks_ms(), started) / 1000
            pause = _RESTART_MIN_S if lived > 2 * _RESTART_MAX_S else min(2 * pause, _RESTART_MAX_S)

    def trusty(self):
        """Whether no vital task has died too often."""
        return not any([entry.vital and entry.deaths >= _DEATHS_MAX for entry in self._entries])

    async def run(self):
        """Feed the watchdog while all is well, for ever; cancels its tasks when it ends."""
        try:
            while True:
                if self.trusty():
                    self._feed()
                await asyncio.sleep(_TURN_S)
        finally:
            for task in self._tasks:
                task.cancel()
