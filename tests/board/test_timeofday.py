"""Tests the time of day: where the clock begins, who is trusted, what stands in the log."""

import time as real_time
import unittest

from mqboard import timeofday
from mqboard.timeofday import Clock

YEAR_2000 = 946684800
BUILT = 1_760_000_000  # 2025-10-09T08:53:20Z
DAY = 86400


class Hardware:
    """Is the modules `time` and `machine`: a clock that counts from `epoch`, and shows `shown`."""

    def __init__(self, epoch, shown):
        self.epoch = epoch
        self.shown = shown
        self.sets = 0

    def time(self):
        return self.shown - self.epoch

    def gmtime(self, seconds=None):
        seconds = self.time() if seconds is None else seconds
        return real_time.gmtime(seconds + self.epoch - EPOCH)

    def RTC(self):
        return self

    def datetime(self, value):
        year, month, day, weekday, hour, minute, second, micro = value
        date = (year, month, day, hour, minute, second, 0, 0, 0)
        self.shown = calendar(date)
        self.sets += 1


EPOCH = YEAR_2000 if real_time.gmtime(0)[0] == 2000 else 0


def calendar(date):
    """Return the seconds since 1970 of a date, in UTC."""
    days = 0
    for year in range(1970, date[0]):
        days += 366 if year % 4 == 0 else 365
    lengths = [31, 29 if date[0] % 4 == 0 else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    days += sum(lengths[: date[1] - 1]) + date[2] - 1
    return days * DAY + date[3] * 3600 + date[4] * 60 + date[5]


class ClockTest(unittest.TestCase):
    def setUp(self):
        self.kept = timeofday.time, timeofday.machine, timeofday.ticks_ms
        self.ticks = 0
        timeofday.ticks_ms = lambda: self.ticks

    def tearDown(self):
        timeofday.time, timeofday.machine, timeofday.ticks_ms = self.kept

    def start(self, last=0, shown=YEAR_2000, epoch=YEAR_2000):
        """Return the clock of a board that boots while its hardware shows that time."""
        self.hardware = timeofday.time = timeofday.machine = Hardware(epoch, shown)
        return Clock(BUILT, last)

    def test_it_begins_at_the_later_of_build_time_and_last_known_time(self):
        for epoch in (0, YEAR_2000):
            for last, begins, source in (
                (0, BUILT, "build time"),
                (BUILT - DAY, BUILT, "build time"),
                (BUILT, BUILT, "build time"),
                (BUILT + 1, BUILT + 1, "last known"),
                (BUILT + 400 * DAY, BUILT + 400 * DAY, "last known"),
                (BUILT + 8000 * DAY, BUILT, "build time"),  # damaged
                (10**30, BUILT, "build time"),
                (-5, BUILT, "build time"),
            ):
                clock = self.start(last, epoch=epoch)
                self.assertEqual((clock.now(), clock.source), (begins, source))
                self.assertFalse(clock.trusted)

    def test_a_reset_leaves_it_as_it_is(self):
        clock = self.start(BUILT + DAY, shown=BUILT + 2 * DAY)
        self.assertEqual((clock.now(), clock.source), (BUILT + 2 * DAY, "last known"))
        self.assertEqual((self.hardware.sets, clock.trusted), (0, False))

    def test_it_is_trusted_once_somebody_told_the_time(self):
        for epoch in (0, YEAR_2000):
            clock = self.start(epoch=epoch)
            clock.set(BUILT + 5, "ntp", 0)
            self.assertEqual((clock.now(), clock.trusted, clock.source), (BUILT + 5, True, "ntp"))
            clock.set(BUILT + 4, "operator", 0)  # backwards, too
            self.assertEqual((clock.now(), clock.source), (BUILT + 4, "operator"))

    def test_it_is_never_set_to_before_the_firmware_or_decades_after_it(self):
        clock = self.start()
        for now in (0, -5, BUILT - 1, BUILT + 7300 * DAY, 10**30):
            with self.assertRaises(ValueError):
                clock.set(now, "ntp", 0)
        self.assertEqual((clock.now(), clock.trusted, clock.source), (BUILT, False, "build time"))

    def test_a_large_step_is_to_be_proved_by_the_next_connection(self):
        clock = self.start()
        self.assertEqual(clock.unproved, -1)
        clock.set(BUILT + DAY, "ntp", 3)
        self.assertEqual(clock.unproved, -1)
        clock.set(BUILT + 3 * DAY, "ntp", 4)
        self.assertEqual(clock.unproved, 4)

    def test_the_log_has_the_uptime_and_utc_once_that_is_trusted(self):
        self.ticks = 1234
        clock = self.start()
        self.assertEqual(clock.stamp(), "0.000")
        self.ticks += 62_005
        self.assertEqual(clock.stamp(), "62.005")
        clock.set(BUILT, "ntp", 0)
        self.assertEqual(clock.stamp(), "2025-10-09T08:53:20Z")

    def test_the_uptime_goes_on_when_the_ticks_wrap(self):
        kept = timeofday.ticks_diff
        wrap = 1 << 30
        timeofday.ticks_diff = lambda end, start: (end - start + wrap // 2) % wrap - wrap // 2
        try:
            clock = self.start()
            for second in range(0, 3 * wrap, wrap // 4):
                self.ticks = second % wrap
                clock.turn(Board(False))
            self.assertEqual(clock.stamp(), "%d.%03d" % (second // 1000, second % 1000))
        finally:
            timeofday.ticks_diff = kept

    def test_what_there_is_no_memory_for_is_tried_again_in_a_minute(self):
        clock, board = self.start(), Board(True)
        for _ in range(61):
            clock.turn(board)
        self.assertEqual(board.tries, 2)


class Board:
    """A board with or without a network, as a clock knows it; no task of its ever begins."""

    def __init__(self, connected):
        self.link = self.supervisor = self
        self.connected = lambda: connected
        self.tries = 0

    def add(self, name, start, vital):
        self.tries += 1


if __name__ == "__main__":
    unittest.main()
