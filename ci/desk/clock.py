"""Keeps time on the desk: an event loop that skips the time in which nothing happens."""

import asyncio
import selectors


class Clock:
    """The board's time, in seconds."""

    now = 0.0

    def ticks_ms(self) -> int:
        """Return milliseconds as MicroPython's function does."""
        return int(self.now * 1000)


class Loop(asyncio.SelectorEventLoop):
    """An event loop by `clock`, which it moves on instead of waiting."""

    def __init__(self, clock: Clock):
        self._clock = clock
        super().__init__(_Selector(clock))

    def time(self) -> float:
        """Return the board's time."""
        return self._clock.now


class _Selector(selectors.SelectSelector):
    def __init__(self, clock: Clock):
        self._clock = clock
        super().__init__()

    def select(self, timeout: float | None = None):
        if timeout and timeout > 0:
            self._clock.now += timeout
        return super().select(0)
