"""Sets the board's clock, and gives it a floor at boot.

The floor is the firmware's build time: certificates made before it can be checked at once, before
anybody told the time (mqboard.net.sntp).
"""

import time

import machine
from micropython import const

_FROM_2000 = const(946684800)
_WEEKDAY = const(0)  # the port works it out


def set_floor(unix_time):
    """Set the clock to `unix_time` (seconds since 1970) if it is behind."""
    if time.time() + _epoch() < unix_time:
        set_time(unix_time)


def set_time(unix_time):
    """Set the clock to `unix_time` (seconds since 1970)."""
    year, month, day, hour, minute, second = time.gmtime(unix_time - _epoch())[:6]
    machine.RTC().datetime((year, month, day, _WEEKDAY, hour, minute, second, 0))


def _epoch():
    """Return when time.time() is 0, in seconds since 1970: it depends on the port."""
    return _FROM_2000 if time.gmtime(0)[0] == 2000 else 0
