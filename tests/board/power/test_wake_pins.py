"""Tests which circuits of which chip are told to end a sleep: they differ, and so does `esp32`."""

import sys
import unittest

import machine

if not hasattr(machine, "RTC"):  # CPython's stand-in

    class _Rtc:
        memory = None

    machine.RTC = _Rtc

from mqboard.power import chip


class Pin:
    IN = 0

    def __init__(self, number, mode):
        self.number = number


class FakeMachine:
    """Sleeps, or says what the chip says of its pins."""

    Pin = Pin

    def __init__(self, error=None):
        self.error = error
        self.slept = []

    def deepsleep(self, ms):
        if self.error:
            raise ValueError(self.error)
        self.slept.append(ms)


class Esp32:
    """The module `esp32` of a chip with these circuits: notes (circuit, pins, level)."""

    WAKEUP_ALL_LOW = False
    WAKEUP_ANY_HIGH = True

    def __init__(self, *circuits):
        self.armed = []
        for name in circuits:
            setattr(self, "wake_on_" + name, self._noting(name))

    def _noting(self, name):
        def wake_on(pins, level):
            pins = [pins] if isinstance(pins, Pin) else pins
            self.armed.append((name, [pin.number for pin in pins], level))

        return wake_on


def pins(*pairs):
    return [{"pin": number, "level": level} for number, level in pairs]


class WakePinsTest(unittest.TestCase):
    def setUp(self):
        self.real = chip.machine, sys.modules.get("esp32")
        chip.machine = FakeMachine()

    def tearDown(self):
        chip.machine, esp32 = self.real
        if esp32:
            sys.modules["esp32"] = esp32
        else:
            del sys.modules["esp32"]

    def arm(self, circuits, *pairs):
        sys.modules["esp32"] = found = Esp32(*circuits)
        chip.arm(pins(*pairs))
        return found.armed

    def test_an_esp32_has_one_that_is_low_and_many_that_are_high(self):
        circuits = "ext0", "ext1", "gpio"
        found = self.arm(circuits, (33, 1), (4, 0), (32, 1))
        self.assertEqual(found, [("ext0", [4], False), ("ext1", [33, 32], True)])
        with self.assertRaises(ValueError):
            self.arm(circuits, (4, 0), (2, 0))

    def test_a_c6_has_many_of_either_level(self):
        found = self.arm(("ext1", "gpio"), (1, 1), (2, 0), (3, 0))
        self.assertEqual(found, [("gpio", [2, 3], False), ("ext1", [1], True)])

    def test_a_c3_has_many_of_one_level(self):
        self.assertEqual(self.arm(("gpio",), (1, 1), (2, 1)), [("gpio", [1, 2], True)])
        self.assertEqual(self.arm(("gpio",), (1, 0), (2, 0)), [("gpio", [1, 2], False)])
        with self.assertRaises(ValueError):
            self.arm(("gpio",), (1, 1), (2, 0))

    def test_without_pins_nothing_is_armed(self):
        self.assertEqual(self.arm(("gpio",)), [])

    def test_what_only_the_sleep_tells_is_undone(self):
        # The pin is none of those that stay on: the port says so when it is to sleep.
        found = self.arm(("gpio",), (20, 0))
        chip.machine.error = "wake-up pin not supported"
        with self.assertRaises(ValueError):
            chip.sleep(1000)
        chip.disarm()
        self.assertEqual(found[-1], ("gpio", [], False))
        chip.machine.error = None
        chip.sleep(1000)
        self.assertEqual(chip.machine.slept, [1000])
