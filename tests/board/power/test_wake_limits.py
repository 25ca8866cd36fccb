"""Tests that limits too short to connect in lock no board out."""

import unittest

from mqboard.power.limits import Limits

NOW = 1_800_000_000
SHORT = {"awake_s": 1, "longest_s": 2}
USUAL = {"awake_s": 30, "longest_s": 900}
STAY_MS = 300_000


def record(in_vain, stayed=NOW):
    return {"limits": [in_vain, stayed]}


class LimitsTest(unittest.TestCase):
    def test_a_boot_that_is_no_wake_has_time_to_connect_and_to_be_told_something(self):
        limits = Limits(SHORT, None, NOW)
        self.assertFalse(limits.late(STAY_MS - 1, False) or limits.over(STAY_MS - 1))
        self.assertTrue(limits.late(STAY_MS, False) and limits.over(STAY_MS))
        self.assertTrue(limits.late(1000, True))

    def test_a_wake_ends_as_it_is_configured(self):
        limits = Limits(SHORT, record(0), NOW + 60)
        self.assertEqual([limits.late(ms, False) for ms in (999, 1000)], [False, True])
        self.assertEqual([limits.over(ms) for ms in (1999, 2000)], [False, True])

    def test_after_ten_wakes_in_vain_one_stays(self):
        kept = {"limits": Limits(USUAL, None, NOW).kept(1, NOW)}
        stays = []
        for wake in range(1, 23):
            limits = Limits(USUAL, kept, NOW + 60 * wake)
            stays.append(limits.stays)
            kept = {"limits": limits.kept(0, NOW + 60 * wake)}
        self.assertEqual([n for n, stay in enumerate(stays, 1) if stay], [11, 22])

    def test_a_connection_ends_the_row(self):
        limits = Limits(USUAL, record(9), NOW + 60)
        self.assertEqual(limits.kept(1, NOW + 60), (0, NOW))

    def test_one_wake_a_day_stays_and_so_does_one_with_another_time(self):
        self.assertFalse(Limits(SHORT, record(0), NOW + 86399).stays)
        for now in (NOW + 86400, NOW - 1):
            limits = Limits(SHORT, record(0), now)
            self.assertTrue(limits.stays)
            self.assertEqual(limits.kept(0, now), (0, now))

    def test_without_a_connection_each_stand_in_has_its_turn(self):
        limits = Limits({"awake_s": 30, "longest_s": 60}, record(0), NOW, 2, 30)
        self.assertFalse(limits.late(119_999, False) or limits.over(119_999))
        self.assertTrue(limits.late(120_000, False) and limits.over(120_000))
        self.assertTrue(limits.late(30_000, True))


if __name__ == "__main__":
    unittest.main()
