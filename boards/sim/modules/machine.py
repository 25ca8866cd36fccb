"""Stands in for the ESP32 port's `machine` on the simulated chip.

A chip has this module in its ROM, not in Python's heap. So only what a board needs all the time is
here. What is used now and then (_system.py: constants, sleep, clock) is loaded for each use and not
kept; timers (_timer.py), UARTs (_uart.py), pins and the rest (_peripherals.py) are loaded when one
of them is used.
Signatures and errors are those of the port's modmachine.c, machine_wdt.c and machine_rtc.c.
"""

import sys

import _bus
from micropython import const

_RESET = const(2)
_WATCHDOG = const(4)
_RTC_READ = const(13)
_RTC_WRITE = const(14)
_RTC_MEMORY = const(2048)


def reset():
    """Reset the board. Does not return."""
    _bus.call(_RESET, 0)


class WDT:
    """The watchdog: not fed for `timeout` milliseconds, it resets the board. There is one."""

    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        _bus.call(_WATCHDOG, timeout)

    def feed(self):
        """Start the time anew."""
        _bus.call(_WATCHDOG, 0)


def _rtc_memory(data=None):
    """Return the bytes of RTC memory, which a reset leaves alone, or set them, at most 2048."""
    if data is None:
        return _bus.call(_RTC_READ) or b""
    if len(data) > _RTC_MEMORY:
        raise ValueError("buffer too long")
    _bus.call(_RTC_WRITE, 0, 0, data)


def __getattr__(name):
    import _system

    sys.modules.pop("_system")
    if hasattr(_system, name):
        return getattr(_system, name)
    if name == "Timer":
        from _timer import Timer

        return Timer
    if name == "UART":
        from _uart import UART

        return UART
    import _peripherals

    return getattr(_peripherals, name)
