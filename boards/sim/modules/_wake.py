"""Holds what is used of `esp32` before a deep sleep that pins end.

Signatures and errors are those of the ESP32 port's modesp32.c.
"""

import _bus

WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True
# Those that the RTC is connected to.
_RTC_PINS = (0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39)


def wake_on_ext0(pin=None, level=WAKEUP_ALL_LOW):
    """Have the level of one pin end the sleep, or with None of none."""
    _bus.wake_pins = (0 if pin is None else _bit(pin), _bus.wake_pins[1])


def wake_on_ext1(pins=None, level=WAKEUP_ALL_LOW):
    """Have pins end the sleep: any that is high, or all when they are low."""
    mask = 0
    for pin in pins or ():
        mask |= _bit(pin)
    _bus.wake_pins = (_bus.wake_pins[0], mask)


def _bit(pin):
    if pin._id not in _RTC_PINS:
        raise ValueError("invalid pin")
    return 1 << pin._id
