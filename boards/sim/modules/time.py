"""Stands in for the ESP32 port's `time`: the board's clock, seconds since 2000, no time zone.

Everything else is the unix port's module.
"""

import _bus
import utime
from micropython import const

_EPOCH = const(946684800)  # 2000-01-01 in seconds since 1970
_SLICE_MS = const(50)


def time_ns():
    """Nanoseconds since 2000."""
    return utime.time_ns() + (_bus.clock_lead - _EPOCH * 1000000) * 1000


def time():
    """Seconds since 2000."""
    return time_ns() // 1000000000


def gmtime(seconds=None):
    """Return (year, month, day, hour, minute, second, weekday, day of the year)."""
    return utime.gmtime((time() if seconds is None else seconds) + _EPOCH)[:8]


localtime = gmtime


def mktime(date):
    """Return the seconds that `localtime` would make this of."""
    return int(utime.mktime(tuple(date[:8]) + (0,))) - _EPOCH


def sleep(seconds):
    """Sleep, and run callbacks (of timers) meanwhile, as on the port."""
    sleep_ms(int(seconds * 1000))


def sleep_ms(ms):
    """Sleep, like `sleep`."""
    start = utime.ticks_ms()
    while True:
        left = ms - utime.ticks_diff(utime.ticks_ms(), start)
        if left <= 0:
            return
        utime.sleep_ms(min(left, _SLICE_MS))


def __getattr__(name):
    return getattr(utime, name)
