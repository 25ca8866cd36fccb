"""Holds what an application may use of `machine`: pins, the CPU's frequency.

Signatures and errors are those of the ESP32 port's machine_pin.c; the rest is the unix port's own
`machine`.
"""

import _bus
from micropython import const
from umachine import *  # noqa: F403

_PIN = const(22)
_ADC_READ = const(27)

_frequency = 160000000


def freq(hz=None):
    """Return the CPU's frequency in Hz, or set it to one that an ESP32 has."""
    global _frequency
    if hz is None:
        return _frequency
    if hz not in (20000000, 40000000, 80000000, 160000000, 240000000):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _frequency = hz


class Pin:
    """A pin: it reads as what was written, or as it is pulled; the chip is told what is written."""

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
        _bus.call(_PIN, self._id, self._levels[self._id])

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


class ADC:
    """The converter at a pin: signatures and errors of the ESP32 port's machine_adc.c."""

    ATTN_0DB = const(0)
    ATTN_2_5DB = const(1)
    ATTN_6DB = const(2)
    ATTN_11DB = const(3)

    def __init__(self, pin, *, atten=ATTN_0DB):
        self._pin = pin if isinstance(pin, int) else pin._id
        if not 32 <= self._pin < 40:
            raise ValueError("invalid pin")

    def atten(self, atten):
        """Set the range, which is the same for all here."""

    def read_uv(self):
        """Return the voltage in microvolts."""
        return _bus.call(_ADC_READ, self._pin)
