"""Owns every task, restarts the ones that die, and alone feeds the watchdog.

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
_FORGIVEN_S = const(3600)  # a task that lived so long has its deaths forgotten
_RESERVE = const(2048)  # bytes that must be free in one piece, or commands cannot be answered
_STARVED_MAX = const(10)  # turns in a row without them
_STOP_TURN_S = 0.05


class _Entry:
    # In the class while it is so, and not in each entry.
    vital = True
    deaths = 0
    pause = 0  # seconds between the last death and the next start

    def __init__(self, name, start, now):
        self.name = name
        self.start = start
        self.begin(now)

    def begin(self, now):
        self.since = now  # when it began or, while there is no task, when it died
        self.task = asyncio.create_task(self.start())


class Supervisor:
    """Runs tasks. `feed()` feeds the watchdog; `turn()`, if given, is called once a second."""

    def __init__(self, feed, log, turn=None):
        self._feed = feed
        self.turn = turn
        self._starved = 0
        self._log = log
        self._entries = []
        self.seconds = 0  # since the start, counted turn by turn: ticks_ms wraps after some days
        self._millis = 0  # and so many milliseconds
        self._last = ticks_ms()
        self._calm_since = 0

    def add(self, name, start, vital=True):
        """Run `await start()`; again, after a pause, when it dies of an exception.

        A vital task is one that never returns. Its deaths count against the board's health, and
        to return or to be cancelled is a death for it. A user's module is not vital.
        """
        entry = _Entry(name, start, self.seconds)
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

    def calm_s(self):
        """Return the seconds since the start or since the last death of a vital task."""
        for entry in self._entries:
            if entry.vital and entry.task and entry.task.done():
                return 0  # not looked at yet
        return self.seconds - self._calm_since

    def trusty(self):
        """Return whether no vital task has died too often."""
        return not any([entry.vital and entry.deaths >= _DEATHS_MAX for entry in self._entries])

    async def run(self):
        """Feed the watchdog while all is well, for ever; cancels its tasks when it ends."""
        asyncio.get_event_loop().set_exception_handler(self._unheard)
        try:
            while True:
                await self._turn()
                await asyncio.sleep(_TURN_S)
                self._count_time()
        finally:
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
        # Not in the loop of `run`: there the last entry and its task would stay alive for ever.
        for entry in list(self._entries):
            await self._look_after(entry)
        self._look_for_memory()
        if self.turn:
            self.turn()
        if self.trusty():
            self._feed()

    def _look_for_memory(self):
        """Raise MemoryError, which ends the board's run, when the heap stays full."""
        try:
            bytearray(_RESERVE)
            self._starved = 0
        except MemoryError:
            self._starved += 1
            if self._starved >= _STARVED_MAX:
                raise

    async def _look_after(self, entry):
        """Look after one task: start it again when its pause is over, note how it ended."""
        if entry.task is None:
            if self.seconds - entry.since >= entry.pause:
                entry.begin(self.seconds)
        elif entry.task.done():
            try:
                await entry.task  # does not wait: raises what it died of
                error = "it returned"
            except asyncio.CancelledError:
                error = "it was cancelled"
            except Exception as died:
                self._died(entry, died)
                return
            if entry.vital:
                self._died(entry, RuntimeError(error))
            else:
                self._entries.remove(entry)

    def _died(self, entry, error):
        lived = self.seconds - entry.since
        again = 2 * entry.pause if lived <= 2 * _RESTART_MAX_S else 0
        entry.pause = min(max(again, _RESTART_MIN_S), _RESTART_MAX_S)
        entry.deaths = entry.deaths + 1 if lived < _FORGIVEN_S else 1
        entry.since = self.seconds
        entry.task = None
        if entry.vital:
            self._calm_since = self.seconds
        try:
            self._log.exception(error, "task %s died; again in %d s", entry.name, entry.pause)
        except MemoryError:
            pass  # that is what it died of, then

    def _unheard(self, loop, context):
        """Log a task that died unawaited (asyncio calls this); `_look_after` hears of ours."""
        task = context.get("future")
        if not any([entry.task is task for entry in self._entries]):
            self._log.exception(context["exception"], "a task that nobody waits for died")
