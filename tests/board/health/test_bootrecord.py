"""Tests what a board remembers in NVS: the image on trial, what became of it, its seq."""

import unittest

from fakes import FakeNvs

from mqboard.health.bootrecord import Store, Trial, keep_seq, kept_number
from mqwire import update as wire


class TrialTest(unittest.TestCase):
    def setUp(self):
        self.nvs = FakeNvs()
        self.trial = Trial(Store(self.nvs))

    def start(self, image, version):
        self.trial.begin(image, version)
        self.trial.due()

    def test_a_rolled_back_image_is_remembered_with_its_reason(self):
        self.start("beef", "2.0")
        self.trial.blame(wire.NO_BROKER, "no broker")
        failed = {"image": "beef", "version": "2.0", "code": wire.NO_BROKER, "reason": "no broker"}
        self.assertEqual(self.trial.resolve("cafe", "aborted", "reset"), failed)
        self.assertEqual(self.trial.resolve("cafe", "aborted", "reset"), failed)

    def test_with_a_full_nvs_a_failure_is_found_out_at_each_boot_anew(self):
        self.start("beef", "2.0")
        self.nvs.full = True
        self.trial.blame(wire.NO_BROKER, "no broker")
        for _ in range(2):
            failed = self.trial.resolve("cafe", "aborted", "watchdog")
            self.assertEqual((failed["image"], failed["code"]), ("beef", wire.WATCHDOG))
        self.nvs.full = False
        failed = self.trial.resolve("cafe", "aborted", "watchdog")
        self.assertEqual(self.trial.resolve("cafe", "aborted", "reset"), failed)

    def test_without_a_word_of_its_own_the_reset_cause_tells(self):
        for cause, code in (
            ("watchdog", wire.WATCHDOG),
            ("power-on", wire.POWER_LOST),
            ("reset", wire.CRASH),
        ):
            self.start("beef", "2.0")
            self.assertEqual(self.trial.resolve("cafe", "aborted", cause)["code"], code)

    def test_the_image_on_trial_itself_is_no_failure(self):
        self.start("beef", "2.0")
        self.assertIsNone(self.trial.resolve("beef", "valid", "reset"))
        self.trial.confirmed()
        self.assertIsNone(self.trial.resolve("cafe", "aborted", "reset"))

    def test_power_lost_while_a_confirmation_is_noted_leaves_a_note_of_that(self):
        nvs = FakeNvs()
        trial = Trial(Store(nvs))
        trial.begin("dead", "1.9")
        trial.due()
        trial.resolve("cafe", "aborted", "watchdog")
        trial.begin("beef", "2.0")
        erase, left = nvs.erase_key, []

        def erase_once(key):
            if left:
                raise KeyboardInterrupt  # the power is gone
            left.append(key)
            erase(key)

        nvs.erase_key = erase_once
        with self.assertRaises(KeyboardInterrupt):
            trial.confirmed()
        self.assertEqual(trial.image(), "beef")
        nvs.erase_key = erase
        trial.confirmed()
        self.assertIsNone(trial.image())
        self.assertEqual(nvs.blobs, {})

    def test_an_image_that_was_never_booted_did_not_fail(self):
        self.start("beef", "2.0")
        self.assertIsNone(self.trial.resolve("cafe", "undefined", "power-on"))

    def test_an_image_that_was_not_due_is_not_blamed_for_the_one_before_it(self):
        for cause in ("watchdog", "reset", "power-on"):
            self.trial.begin("beef", "2.0")
            self.assertIsNone(self.trial.resolve("cafe", "aborted", cause))
            self.assertIsNone(self.trial.image())

    def test_a_note_that_does_not_fit_stops_no_update(self):
        def full(key, value):
            raise OSError(-4357, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")

        self.trial.begin("beef", "2.0")
        self.nvs.set_blob = full
        self.trial.due()
        self.assertEqual(self.trial.image(), "beef")


class SeqTest(unittest.TestCase):
    def test_the_highest_is_kept(self):
        store = Store(FakeNvs())
        self.assertEqual(kept_number(store, "seq"), 0)
        for seq, kept in ((5, 5), (3, 5), (1 << 40, 1 << 40)):
            keep_seq(store, seq)
            self.assertEqual(kept_number(store, "seq"), kept)

    def test_garbage_counts_as_none(self):
        store = Store(FakeNvs())
        store.set("seq", "x")
        self.assertEqual(kept_number(store, "seq"), 0)


if __name__ == "__main__":
    unittest.main()
