"""Holds what is used now and then of `machine`: constants, reset causes, sleep, clock.

Nothing here has a state of its own: the module is loaded for each use (see machine.py).
"""

import struct
import time

import _bus
import machine
from micropython import const

PWRON_RESET = const(1)
HARD_RESET = const(2)
WDT_RESET = const(3)
DEEPSLEEP_RESET = const(4)
SOFT_RESET = const(5)
SLEEP = const(2)
DEEPSLEEP = const(4)
PIN_WAKE = const(2)
EXT0_WAKE = const(2)
EXT1_WAKE = const(3)
TIMER_WAKE = const(4)
TOUCHPAD_WAKE = const(5)
ULP_WAKE = const(6)


_DEEP_SLEEP = const(3)
_FOREVER = const(0xFFFFFFFF)
_EPOCH = const(946684800)  # 2000-01-01 in seconds since 1970


def reset_cause():
    """Why the board started: one of the *_RESET constants."""
    return _bus.reset_cause


def wake_reason():
    """Why it woke from deep sleep: one of the *_WAKE constants, or 0."""
    return _bus.wake_cause


def deepsleep(time_ms=_FOREVER):
    """Sleep for `time_ms`, or until a pin or a reset ends it. Waking is a boot: no return."""
    _bus.call(_DEEP_SLEEP, time_ms, 0, struct.pack("<QQ", *_bus.wake_pins))


def lightsleep(time_ms=0):
    """Sleep, and go on."""
    time.sleep_ms(time_ms)


sleep = lightsleep


def unique_id():
    """Return the board's MAC address, 6 bytes."""
    return _bus.mac


class RTC:
    """The real-time clock, and the memory that a reset leaves alone."""

    def datetime(self, value=None):
        """Return (year, month, day, weekday, hour, minute, second, microsecond), or set it."""
        if value is None:
            seconds, microseconds = divmod(time.time_ns() // 1000, 1000000)
            year, month, day, hour, minute, second, weekday, _ = time.gmtime(seconds)
            return year, month, day, weekday, hour, minute, second, microseconds
        if len(value) != 8:
            raise ValueError("requested length 8 but object has length %d" % len(value))
        self._set(value, 4)

    def init(self, value):
        """Set the clock to (year, month, day, hour, minute, second, ignored, microsecond)."""
        self._set(value, 3)

    memory = staticmethod(machine._rtc_memory)  # there: whoever keeps it must not keep all of this

    def _set(self, value, hour):
        seconds = time.mktime(tuple(value[:3]) + tuple(value[hour : hour + 3]) + (0, 0))
        _bus.set_clock((seconds + _EPOCH) * 1000000 + value[7])
