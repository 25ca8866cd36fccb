"""Tests when an NTP server is asked, what becomes of its answer, and when the time is kept."""

import asyncio
import unittest

from fakes import FakeLog, FakeNvs, run, until

from mqboard import timesync
from mqboard.health.bootrecord import Store, kept_number
from mqboard.net import sntp

NOW = 1_770_000_000
HOUR = 3600
DAY = 86400


class Clock:
    """mqboard.timeofday.Clock, with a time that stands still."""

    def __init__(self, now=NOW):
        self.time = now
        self.trusted = self.busy = False
        self.source = "build time"
        self.due_in = self.pause = 0
        self.pause_max = HOUR
        self.unproved = -1
        self.gone_back = False
        self.built = NOW - 100 * DAY

    def now(self):
        return self.time

    def set(self, now, source, connects):
        if now < self.built:
            raise ValueError("no such time")
        if abs(now - self.time) > DAY:
            self.unproved = connects
        self.time, self.source, self.trusted = now, source, True


class Board:
    """A board, connected for the first time."""

    def __init__(self, clock, ntp="ntp.example"):
        self.clock = clock
        self.config = self.link = self.client = self
        self.ntp = ntp
        self.connects = 1
        self.up = asyncio.Event()
        self.up.set()

    def dns(self):
        return "9.9.9.9"


class TimesyncTest(unittest.TestCase):
    def setUp(self):
        self.kept = timesync.NVS, timesync.Logger, sntp.ask
        self.nvs = FakeNvs()
        self.log = FakeLog()
        timesync.NVS = lambda name: self.nvs
        timesync.Logger = lambda name: self.log
        sntp.ask = self.ask
        self.answer = NOW
        self.asked = 0

    def tearDown(self):
        timesync.NVS, timesync.Logger, sntp.ask = self.kept

    async def ask(self, server, dns):
        self.asked += 1
        self.assertEqual((server, dns), ("ntp.example", "9.9.9.9"))
        if self.answer is None:
            raise OSError("no answer")
        return self.answer

    def synchronize(self, board):
        run(timesync.synchronize(board))
        self.assertFalse(board.clock.busy)

    def kept_time(self):
        return kept_number(Store(self.nvs), "time")

    def test_the_clock_is_set_and_that_is_told(self):
        for answer, words in ((NOW + 3, "3 s slow"), (NOW - 5, "5 s fast"), (NOW, "0 s slow")):
            self.answer = answer
            clock = Clock()
            self.synchronize(Board(clock))
            self.assertEqual((clock.time, clock.source, clock.trusted), (answer, "ntp", True))
            self.assertEqual(self.log.lines.pop(), "set by ntp.example: it was " + words)
            self.assertTrue(6 * HOUR <= clock.due_in <= 6 * HOUR + 600)

    def test_a_clock_that_is_right_to_the_second_is_left_alone(self):
        clock = Clock()
        clock.trusted, clock.source = True, "operator"
        self.answer = NOW + 1
        self.synchronize(Board(clock))
        self.assertEqual((clock.time, clock.source, self.log.lines), (NOW, "operator", []))

    def test_a_server_that_does_not_answer_is_asked_again_less_and_less_often(self):
        board = Board(Clock())
        self.answer = None
        pauses = []
        for _ in range(9):
            self.synchronize(board)
            pauses.append(board.clock.due_in)
        self.assertEqual(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600])
        self.assertFalse(board.clock.trusted)
        self.assertIn("no time from ntp.example: no answer", self.log.lines)
        self.answer = NOW
        self.synchronize(board)
        self.assertTrue(board.clock.due_in >= 6 * HOUR)
        self.assertEqual(board.clock.pause, 0)

    def test_a_board_that_sleeps_asks_a_mute_server_as_rarely_as_one_that_answers(self):
        board = Board(Clock())
        board.clock.pause_max = 6 * HOUR
        board.clock.pause = 4 * HOUR
        self.answer = None
        for told in (1, 0):
            self.log.lines.clear()
            self.synchronize(board)
            self.assertEqual((board.clock.due_in, len(self.log.lines)), (6 * HOUR, told))

    def test_a_time_that_cannot_be_is_as_good_as_no_answer(self):
        clock = Clock()
        self.answer = NOW - 101 * DAY
        self.synchronize(Board(clock))
        self.assertEqual((clock.time, clock.trusted, clock.due_in), (NOW, False, 60))
        self.assertEqual(self.log.lines, ["no time from ntp.example: no such time"])

    def test_without_a_server_nobody_is_asked_and_the_time_is_kept_all_the_same(self):
        board = Board(Clock(), ntp="")
        self.synchronize(board)
        self.assertEqual((self.asked, self.kept_time(), board.clock.trusted), (0, NOW, False))

    def test_the_time_is_kept_when_what_is_kept_is_older_than_an_hour_or_ahead(self):
        for kept, expected in (
            (NOW - HOUR + 1, NOW - HOUR + 1),
            (NOW - HOUR, NOW),
            (NOW, NOW),
            (NOW + 1, NOW),
            (0, NOW),
        ):
            Store(self.nvs).set("time", str(kept))
            self.synchronize(Board(Clock()))
            self.assertEqual(self.kept_time(), expected)

    def test_a_step_of_more_than_a_day_is_kept_after_the_next_connection(self):
        clock = Clock(NOW - 2 * DAY)
        board = Board(clock)
        self.synchronize(board)
        self.assertEqual((clock.time, self.kept_time()), (NOW, 0))
        self.synchronize(board)
        self.assertEqual(self.kept_time(), 0)
        board.connects += 1
        self.synchronize(board)
        self.assertEqual(self.kept_time(), NOW)

    def test_the_time_is_kept_once_there_is_a_broker(self):
        async def go():
            board = Board(Clock())
            board.up.clear()
            task = asyncio.create_task(timesync.synchronize(board))
            await until(lambda: board.clock.trusted)
            self.assertTrue(board.clock.busy)
            self.assertEqual(self.kept_time(), 0)
            board.up.set()
            await task
            self.assertEqual(self.kept_time(), NOW)

        run(go())

    def test_nvs_that_is_full_is_told(self):
        self.nvs.full = True
        self.synchronize(Board(Clock(), ntp=""))
        self.assertIn("the time cannot be kept in NVS", self.log.lines[0])

    def test_a_certificate_that_fails_has_the_time_asked_for_but_not_within_the_hour(self):
        clock = Clock()
        board = Board(clock)

        def doubt():
            run(timesync.doubt(clock, board.ntp, board))

        self.answer = None
        doubt()
        doubt()
        self.assertEqual(self.asked, 2)  # as long as nobody told the time
        self.answer = NOW
        doubt()
        doubt()
        self.assertEqual(self.asked, 3)
        clock.due_in -= HOUR + 600
        doubt()
        self.assertEqual(self.asked, 4)
        self.assertEqual(clock.unproved, -1)  # there is no connection: the next one proves it

    def test_a_wrong_time_without_a_server_is_undone_when_no_certificate_is_valid_by_it(self):
        Store(self.nvs).set("time", str(NOW))
        clock = Clock()
        clock.set(NOW + 3000 * DAY, "operator", 1)
        run(timesync.doubt(clock, "", None))
        self.assertEqual((clock.time, clock.source, clock.trusted), (NOW, "last known", False))
        after_a_reset = Clock(NOW + 3000 * DAY)
        run(timesync.doubt(after_a_reset, "", None))
        self.assertEqual(after_a_reset.time, NOW)
        after_a_reset.time = NOW + 3000 * DAY
        run(timesync.doubt(after_a_reset, "", None))
        self.assertEqual(after_a_reset.time, NOW + 3000 * DAY)  # once in a boot
        self.assertEqual(self.asked, 0)

    def test_a_time_that_was_proved_stays_whatever_a_certificate_says(self):
        clock = Clock()
        clock.trusted = True
        Store(self.nvs).set("time", str(NOW - 9 * DAY))
        run(timesync.doubt(clock, "", None))
        self.assertEqual(clock.time, NOW)


if __name__ == "__main__":
    unittest.main()
