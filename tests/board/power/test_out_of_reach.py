"""Tests how long a board that sleeps counts as out of reach, for its setup network."""

import unittest

from mqboard.power import power


class FakeBoard:
    def __init__(self):
        self.client = self
        self.connects = 0


class Woken(power.Power):
    """One that was out of reach for 600 s as it fell asleep."""

    def __init__(self, opened=False):
        self._board = FakeBoard()
        self._settings = {"awake_s": 30}
        self._began = 0
        self._apart = (600, opened)


class OutOfReachTest(unittest.TestCase):
    def setUp(self):
        self.real = power.ticks_ms
        self.now = 0
        power.ticks_ms = lambda: self.now

    def tearDown(self):
        power.ticks_ms = self.real

    def test_the_time_before_counts_when_half_of_this_wake_was_in_vain_too(self):
        woken = Woken()
        for self.now, counted in ((0, 0), (14_999, 0), (15_000, 600_000), (29_000, 600_000)):
            self.assertEqual(woken.apart_ms, counted)
        woken._board.connects = 1
        self.assertEqual(woken.apart_ms, 0)

    def test_it_adds_up_over_sleeps_until_the_broker_is_reached(self):
        woken = Woken()
        self.now = 30_000
        self.assertEqual(woken._apart_then(570_000), (1200, False))
        woken.note_opened()
        self.assertTrue(woken.opened)
        self.assertEqual(woken._apart_then(570_000), (1200, True))
        woken._board.connects = 1
        self.assertFalse(woken.opened)
        self.assertEqual(woken._apart_then(570_000), (0, False))


if __name__ == "__main__":
    unittest.main()
