"""Stands in for the ESP32 port's `os`: files' times are those of the board's clock, since 2000.

LittleFS writes what the host's clock says, since 1970. Everything else is the unix port's module.
"""

import _bus
import uos
from micropython import const

_EPOCH = const(946684800)  # 2000-01-01 in seconds since 1970
_TIMES = const(7)  # where they begin


def stat(path):
    """Return what the port's `stat` does."""
    found = uos.stat(path)
    written = found[_TIMES] and found[_TIMES] + _bus.clock_lead // 1000000 - _EPOCH
    return found[:_TIMES] + (written,) * 3


def __getattr__(name):
    return getattr(uos, name)
