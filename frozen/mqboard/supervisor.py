"""The supervisor: owns every task, restarts the ones that die, and alone feeds the watchdog.

The watchdog is fed from this loop, once a second, so a blocked event loop starves it; and it is
fed only while the management tasks stay alive. The loop also looks whether a task has ended: a
second coroutine around each task, that waits for it, would take 300 bytes of heap a task.
"""

import asyncio

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms

_TURN_S = const(1)
_RESTART_MIN_S = const(1)
_RESTART_MAX_S = const(60)
_DEATHS_MAX = const(10)  # of one management task; then the watchdog is left to bite


class _Entry:
    # In the class while it is so, and not in each entry.
    vital = True
    deaths = 0
    pause = 0  # seconds between the last death and the next start

    def __init__(self, name, start):
        self.name = name
        self.start = start
        self.begin()

    def begin(self):
        self.since = ticks_ms()  # when it began or, while there is no task, when it died
        self.task = asyncio.create_task(self.start())

    def age_s(self):
        return ticks_diff(ticks_ms(), self.since) / 1000


class Supervisor:
    """`feed()` feeds the hardware watchdog."""

    def __init__(self, feed, log):
        self._feed = feed
        self._log = log
        self._entries = []
        self._calm_since = ticks_ms()

    def add(self, name, start, vital=True):
        """Run `await start()`; again, after a pause, when it dies of an exception.

        Deaths of a vital task count against the board's health; a user's module is not vital.
        """
        entry = _Entry(name, start)
        if not vital:
            entry.vital = False
        self._entries.append(entry)

    def calm_s(self):
        """Seconds since the start or since the last death of a vital task."""
        for entry in self._entries:
            if entry.vital and entry.task and entry.task.done():
                return 0  # not looked at yet
        return ticks_diff(ticks_ms(), self._calm_since) / 1000

    def trusty(self):
        """Whether no vital task has died too often."""
        return not any([entry.vital and entry.deaths >= _DEATHS_MAX for entry in self._entries])

    async def run(self):
        """Feed the watchdog while all is well, for ever; cancels its tasks when it ends."""
        asyncio.get_event_loop().set_exception_handler(self._unheard)
        try:
            while True:
                await self._turn()
                await asyncio.sleep(_TURN_S)
        finally:
            for entry in self._entries:
                if entry.task:
                    entry.task.cancel()

    async def _turn(self):
        # Not in the loop of `run`: there the last entry and its task would stay alive for ever.
        for entry in list(self._entries):
            await self._look_after(entry)
        if self.trusty():
            self._feed()

    async def _look_after(self, entry):
        """Start a task again whose pause is over; see how one ended, and forget it if well."""
        if entry.task is None:
            if entry.age_s() >= entry.pause:
                entry.begin()
        elif entry.task.done():
            try:
                await entry.task  # does not wait: raises what it died of
            except asyncio.CancelledError:
                pass  # somebody ended it on purpose
            except Exception as error:
                self._died(entry, error)
                return
            self._entries.remove(entry)

    def _died(self, entry, error):
        again = 2 * entry.pause if entry.age_s() <= 2 * _RESTART_MAX_S else 0
        entry.pause = min(max(again, _RESTART_MIN_S), _RESTART_MAX_S)
        entry.deaths += 1
        entry.since = ticks_ms()
        entry.task = None
        if entry.vital:
            self._calm_since = entry.since
        self._log.exception(error, "task %s died; again in %d s", entry.name, entry.pause)

    def _unheard(self, loop, context):
        """Called by asyncio for each task that dies unawaited; `_look_after` hears of ours."""
        task = context.get("future")
        if not any([entry.task is task for entry in self._entries]):
            self._log.exception(context["exception"], "a task that nobody waits for died")
