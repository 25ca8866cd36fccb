"""Touches the hardware for mqboard.power: deep sleep, the pins that end it, the battery."""

import time

import machine
from micropython import const

_SAMPLES = const(7)  # of which the middle one counts
_MICRO = 1e-6

memory = machine.RTC().memory  # bytes that a deep sleep leaves alone


def sleep(ms):
    """Sleep for `ms`, or until a pin that was armed ends it. Does not return, but by ValueError if
    that pin cannot."""
    machine.deepsleep(ms)


def wait(seconds, feed):
    """Wait with the radio off, and `feed` the watchdog; Ctrl-C at the console ends it."""
    for _ in range(seconds):
        time.sleep(1)
        feed()


def volts(battery):
    """Return the voltage of the battery whose divider by `ratio` is at the ADC's `pin`."""
    adc = machine.ADC(machine.Pin(battery["pin"]))
    adc.atten(machine.ADC.ATTN_11DB)  # up to about 3 V at the pin
    read = sorted([adc.read_uv() for _ in range(_SAMPLES)])
    return read[_SAMPLES // 2] * _MICRO * battery["ratio"]


def arm(pins):
    """Have any of `pins` ("pin", "level") end the sleep; ValueError if one of them cannot: here, or
    on some chips only at `sleep`.

    ESP32, S2 and S3 have one circuit for any pin (ext0), and one for many, of which any may be
    high (ext1). C5 and C6 have that, and one for many of which any may be low; C2 and C3 the last
    one alone, for either level.
    """
    if not pins:
        return
    import esp32

    low = [machine.Pin(each["pin"], machine.Pin.IN) for each in pins if not each["level"]]
    high = [machine.Pin(each["pin"], machine.Pin.IN) for each in pins if each["level"]]
    if hasattr(esp32, "wake_on_ext0"):
        if len(low) > 1:
            raise ValueError("only one of the wake pins can be one that wakes when it is low")
        if low:
            esp32.wake_on_ext0(low[0], esp32.WAKEUP_ALL_LOW)
    elif low:
        if high and not hasattr(esp32, "wake_on_ext1"):
            raise ValueError("on this chip the wake pins can only have the same level")
        esp32.wake_on_gpio(low, esp32.WAKEUP_ALL_LOW)
    if high:
        with_many = getattr(esp32, "wake_on_ext1", None) or esp32.wake_on_gpio
        with_many(high, esp32.WAKEUP_ANY_HIGH)


def disarm():
    """Undo what `arm` did where only `sleep` told that it cannot be."""
    import esp32

    if hasattr(esp32, "wake_on_gpio"):
        esp32.wake_on_gpio((), esp32.WAKEUP_ALL_LOW)
