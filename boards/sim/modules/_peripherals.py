"""Holds what an application may use of `machine`: timers, pins, the CPU's frequency.

Signatures and errors are those of the ESP32 port's machine_timer.c and machine_pin.c; the rest is
the unix port's own `machine`.
"""

import _thread
import time

import micropython
from micropython import const
from umachine import *  # noqa: F403

_frequency = 160000000


def freq(hz=None):
    """Return the CPU's frequency in Hz, or set it to one that an ESP32 has."""
    global _frequency
    if hz is None:
        return _frequency
    if hz not in (20000000, 40000000, 80000000, 160000000, 240000000):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _frequency = hz


class Timer:
    """A timer. Its callback runs between two bytecodes of the main thread, like the port's.

    One thing differs: while the interactive prompt waits for a key, callbacks wait too.
    """

    ONE_SHOT = const(0)
    PERIODIC = const(1)

    def __init__(self, id, **settings):
        if not 0 <= id <= 3:
            raise ValueError("invalid Timer number")
        self._generation = 0
        self._since = 0
        if settings:
            self.init(**settings)

    def init(
        self,
        *,
        mode=PERIODIC,
        callback=None,
        period=0xFFFFFFFF,
        tick_hz=1000,
        freq=None,
        hard=False,
    ):
        """Start, with a period in ticks or a frequency in Hz."""
        if hard:
            raise ValueError("hard Timers are not implemented")
        period = 1 / freq if freq else period / tick_hz
        self._generation += 1
        self._since = time.ticks_ms()
        if callback:
            _thread.start_new_thread(self._run, (self._generation, mode, callback, period))

    def deinit(self):
        """Stop."""
        self._generation += 1

    def value(self):
        """Milliseconds since the period began."""
        return time.ticks_diff(time.ticks_ms(), self._since)

    def _run(self, generation, mode, callback, period):
        while True:
            time.sleep(period)
            if generation != self._generation:
                return
            self._since = time.ticks_ms()
            try:
                micropython.schedule(callback, self)
            except RuntimeError:
                pass  # the queue is full: this turn is lost, as on the port
            if mode == self.ONE_SHOT:
                return


class Pin:
    """A pin that is connected to nothing: it reads as what was written, or as it is pulled."""

    IN = const(1)
    OUT = const(3)
    OPEN_DRAIN = const(7)
    PULL_DOWN = const(1)
    PULL_UP = const(2)
    IRQ_RISING = const(1)
    IRQ_FALLING = const(2)
    WAKE_LOW = const(4)
    WAKE_HIGH = const(5)
    DRIVE_0 = const(0)
    DRIVE_1 = const(1)
    DRIVE_2 = const(2)
    DRIVE_3 = const(3)

    _levels = bytearray(40)

    def __init__(self, id, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if not isinstance(id, int) or not 0 <= id < 40:
            raise ValueError("invalid pin")
        self._id = id
        self.init(mode, pull, value=value, drive=drive, hold=hold)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        """Set it up."""
        if mode not in (-1, None, self.IN, self.OUT, self.OPEN_DRAIN):
            raise ValueError("invalid pin mode")
        if value is not None:
            self.value(value)
        elif pull in (self.PULL_UP, self.PULL_DOWN):
            self._levels[self._id] = pull == self.PULL_UP

    def value(self, value=None):
        """Return the level, 0 or 1, or set it."""
        if value is None:
            return self._levels[self._id]
        self._levels[self._id] = bool(value)

    __call__ = value

    def on(self):
        """Set it to 1."""
        self.value(1)

    def off(self):
        """Set it to 0."""
        self.value(0)

    def toggle(self):
        """Change it."""
        self.value(not self.value())

    def irq(self, handler=None, trigger=IRQ_RISING | IRQ_FALLING, **_):
        """Take a handler that is never called: nothing happens on an unconnected pin."""
        return self

    def __repr__(self):
        return "Pin(%d)" % self._id
