"""Tests what RTC memory tells the next boot: failed boots, the mode, what ran, the last lines."""

import random
import unittest

from mqboard.health import blackbox, lastwords


class Memory:
    """machine.RTC().memory, which counts the writes."""

    def __init__(self, data=b""):
        self.data = data
        self.writes = 0

    def __call__(self, *data):
        if not data:
            return self.data
        self.data = bytes(data[0])
        self.writes += 1
        assert len(self.data) <= 2048


def boot(memory, power_on=False):
    """Return (what the boot before left, the black box of this one)."""
    words = lastwords.read(b"" if power_on else memory())
    return words, blackbox.BlackBox(memory, words.unhealthy, words.wanted)


class CountTest(unittest.TestCase):
    def test_three_boots_that_never_got_healthy_end_in_safe_mode(self):
        memory = Memory()
        seen = [boot(memory, number == 0)[0].safe_mode() for number in range(5)]
        self.assertEqual(seen, [False, False, False, True, True])

    def test_a_healthy_boot_counts_from_zero_again(self):
        memory = Memory()
        for _ in range(10):
            words, box = boot(memory)
            self.assertFalse(words.safe_mode())
            box.healthy()

    def test_power_cycles_are_not_crashes(self):
        memory = Memory()
        for _ in range(10):
            self.assertFalse(boot(memory, True)[0].safe_mode())

    def test_the_count_of_older_firmware_goes_on(self):
        memory = Memory(b"MQB1\x02")
        self.assertEqual(boot(memory)[1].unhealthy, 2)
        self.assertTrue(boot(memory)[0].safe_mode())

    def test_boots_that_an_eval_resets_are_not_counted(self):
        memory = Memory()
        for _ in range(10):
            words = lastwords.read(memory())
            words.forgive("reset")
            self.assertFalse(words.safe_mode())
            box = blackbox.BlackBox(memory, words.unhealthy, "")
            box.end(blackbox.BY_CODE)
        words.forgive("watchdog")  # it hung: that counts
        self.assertEqual(boot(memory)[0].unhealthy, 1)


class WantedTest(unittest.TestCase):
    def test_a_mode_that_was_asked_for_stays_until_changed_or_the_power_goes(self):
        memory = Memory()
        boot(memory, True)[1].want("safe")
        for _ in range(2):
            words, box = boot(memory)
            self.assertEqual((box.wanted, words.safe_mode()), ("safe", True))
            box.healthy()
        box.want("")
        self.assertFalse(boot(memory)[0].safe_mode())
        box.want("safe")
        self.assertFalse(boot(memory, True)[0].safe_mode())


class LastWordsTest(unittest.TestCase):
    def left(self):
        return lastwords.read(self.memory())

    def setUp(self):
        self.memory = Memory()
        self.box = boot(self.memory)[1]

    def test_the_next_boot_knows_what_ran(self):
        self.box.run("eval abcdefgh while True: pass")
        before = self.left()
        self.assertEqual(before.running, "eval abcdefgh while True: pass")
        self.assertTrue(before.crashed("watchdog"))
        boot(self.memory)
        self.assertEqual(self.left().running, "")

    def test_what_runs_is_cut_to_its_room_and_what_is_over_is_forgotten(self):
        self.box.run("module " + "ü" * 40)
        self.assertTrue(self.left().running.startswith("module "))
        self.box.run("")
        self.assertEqual(self.left().running, "")

    def test_the_last_lines_are_kept_whole(self):
        for number in range(200):
            self.box.line(b"I %d board: line %d" % (number * 1000, number))
        lines = self.left().lines.split("\n")
        self.assertEqual(lines[-2:], ["I 199000 board: line 199", ""])
        self.assertTrue(15 < len(lines) < 30)
        for line in lines[:-1]:
            self.assertEqual(line[:2], "I ")

    def test_lines_of_any_length_fit(self):
        for size in list(range(0, 700, 7)) * 3:
            self.box.line(b"x" * size)
            lines = self.left().lines
            self.assertTrue(lines.endswith("\n") and len(lines) <= 484)
            self.assertEqual(len(lines.split("\n")[-2]), min(size, 483))

    def test_numbers_and_image_are_those_of_that_boot(self):
        self.box.describe(b"\x00\xff" * 4, True, 300)
        self.box.alive(86400, 123456)
        before = self.left()
        self.assertEqual((before.uptime_s, before.heap_free, before.spent_s), (86400, 123456, 300))
        self.assertEqual((before.image, before.safe), (b"\x00\xff" * 4, True))

    def test_nothing_is_written_when_nothing_changed(self):
        self.box.healthy()
        self.box.run("a")
        writes = self.memory.writes
        self.box.healthy()
        self.box.run("a")
        self.box.want("")
        self.assertEqual(self.memory.writes, writes)

    def test_an_exception_leaves_its_traceback_behind_the_lines(self):
        self.box.run("module x")
        self.box.line(b"the last line")
        try:
            raise ValueError("boom")
        except ValueError as error:
            lastwords.note(error, self.memory)
        before = self.left()
        self.assertEqual((before.running, before.lines), ("module x", "the last line\n"))
        self.assertTrue("ValueError: boom" in before.trace)
        self.assertTrue(before.crashed("reset"))

    def test_an_exception_of_a_boot_without_a_black_box_has_no_words_of_another(self):
        self.box.line(b"of the boot before")
        self.box.describe(b"\xff" * 32, True, 300)
        self.box.end()
        lastwords.note(ValueError("early"), self.memory)
        before = self.left()
        self.assertEqual((before.lines, before.image, before.spent_s), ("", bytes(8), 300))
        self.assertTrue("early" in before.trace and before.crashed("reset"))

    def test_an_exception_before_there_is_a_black_box_is_noted(self):
        for garbage in (b"", b"MQB1\x01", b"\xff" * 2048):
            memory = Memory(garbage)
            lastwords.note(ValueError("early"), memory)
            self.assertTrue("early" in boot(memory)[0].trace)

    def test_a_boot_that_somebody_stopped_is_no_failed_one(self):
        memory = Memory()
        boot(memory)
        for _ in range(5):
            before, box = boot(memory)
            self.assertEqual(before.unhealthy, 1)
            box.want("safe")
            lastwords.stopped(memory)
        before = lastwords.read(memory())
        self.assertEqual(
            (before.unhealthy, before.end, before.wanted), (1, blackbox.PROMPT, "safe")
        )
        for garbage in (b"", b"\xff" * 2048):
            memory = Memory(garbage)
            lastwords.stopped(memory)
            self.assertEqual(lastwords.read(memory()).unhealthy, 0)


class CrashedTest(unittest.TestCase):
    def ended(self, how, cause):
        memory = Memory()
        box = boot(memory)[1]
        if how is not None:
            box.end(how)
        return boot(memory)[0].crashed(cause)

    def test_what_is_a_crash_and_what_is_none(self):
        for how, cause, crashed in (
            (None, "watchdog", True),
            (None, "reset", True),  # a panic, or machine.reset() in a module
            (None, "soft", False),
            (None, "deepsleep", False),
            (None, "power-on", False),
            (None, "unknown", False),
            (blackbox.ON_PURPOSE, "reset", False),
            (blackbox.ON_PURPOSE, "watchdog", True),  # it then hung before it got so far
            (blackbox.PROMPT, "reset", False),
            (blackbox.PROMPT, "watchdog", False),  # somebody left the prompt alone
            (blackbox.BY_CODE, "reset", False),
            (blackbox.BY_CODE, "watchdog", True),
        ):
            self.assertEqual(self.ended(how, cause), crashed, (how, cause))

    def test_a_reset_by_older_firmware_is_no_crash(self):
        for kept in (b"", b"MQB1\x00"):
            before = lastwords.read(kept)
            self.assertFalse(before.crashed("reset"))
            self.assertTrue(before.crashed("watchdog"))


class MountingTest(unittest.TestCase):
    def test_boots_that_die_while_they_mount_are_counted_in_a_row(self):
        for before in (b"", b"MQB1\x01", b"garbage"):
            memory = Memory(before)
            self.assertEqual([lastwords.mounting(memory, False) for _ in range(3)], [0, 1, 2])
            lastwords.mounted(memory)
            self.assertEqual(lastwords.mounting(memory, False), 0)

    def test_the_count_is_that_of_a_board_with_power_and_stays_a_byte(self):
        memory = Memory()
        for _ in range(300):
            lastwords.mounting(memory, False)
        self.assertEqual(lastwords.mounting(memory, False), 255)
        self.assertEqual(lastwords.mounting(memory, True), 0)

    def test_what_a_boot_died_of_is_not_told_of_the_one_that_died_while_it_mounted(self):
        memory = Memory()
        box = boot(memory)[1]
        box.run("module pump")
        box.line(b"last")
        for _ in range(2):
            lastwords.mounting(memory, False)
        lastwords.mounted(memory)
        before = boot(memory)[0]
        self.assertEqual((before.running, before.lines), ("mounting the filesystem", ""))
        self.assertTrue(before.crashed("reset") and before.crashed("watchdog"))

    def test_all_else_stays_as_the_boot_before_left_it(self):
        memory = Memory()
        box = boot(memory)[1]
        box.run("module pump")
        box.line(b"last")
        left = memory.data
        lastwords.mounting(memory, False)
        self.assertNotEqual(memory.data, left)
        lastwords.mounted(memory)
        self.assertEqual(memory.data, left)

    def test_the_count_of_unhealthy_boots_of_older_firmware_survives(self):
        memory = Memory(b"MQB1\x02")
        lastwords.mounting(memory, False)
        lastwords.mounted(memory)
        before = boot(memory)[0]
        self.assertEqual(before.unhealthy, 2)
        self.assertFalse(before.crashed("reset"))


class GarbageTest(unittest.TestCase):
    def test_any_bytes_are_taken(self):
        choose = random.getrandbits
        for number in range(400):
            size = choose(11) if number % 2 else choose(8)
            kept = bytes([choose(8) for _ in range(size)])
            if number % 4:
                kept = b"MQB2" + kept
            memory = Memory(kept[:2048])
            before, box = boot(memory)
            before.crashed("reset")
            self.assertTrue(box.wanted in ("", "safe"))
            for text in (before.running, before.lines, before.trace):
                text.encode()
            box.line(b"line")
            self.assertEqual(boot(memory)[0].lines, "line\n")

    def test_a_black_box_that_was_torn_or_cut_is_taken(self):
        memory = Memory()
        box = boot(memory)[1]
        box.run("eval abc")
        for number in range(40):
            box.line(b"line %d" % number)
        whole = memory.data
        for size in range(len(whole)):
            boot(Memory(whole[:size]))
            boot(Memory(whole[:size] + b"\xa5" * (len(whole) - size)))


if __name__ == "__main__":
    unittest.main()
