"""Tests how long clients wait between attempts: never over a minute, and not all alike."""

import asyncio
import random
import unittest

from fakes import FakeLog, run, until

from mqboard.mqtt import Client, connection

FIRST = 500
BOARDS = 1000


def comes_back(outage_s):
    """Return when a board is connected again that lost its broker for `outage_s`, from then on."""
    now = failures = 0
    while True:
        now += connection.wait_ms(failures, FIRST) / 1000
        failures += 1
        if now >= outage_s:
            return now - outage_s


class BackoffTest(unittest.TestCase):
    def setUp(self):
        random.seed(11)

    def test_waits_grow_to_a_minute_and_no_further(self):
        means = {}
        for failures in (0, 1, 2, 7, 8, 9, 12, 13, 100, 1_000_000):
            waits = [connection.wait_ms(failures, FIRST) for _ in range(200)]
            self.assertTrue(max(waits) < 60_000)
            self.assertTrue(max(waits) > 2 * min(waits))
            means[failures] = sum(waits) / len(waits)
        for failures, mean in ((0, 500), (1, 1000), (2, 2000), (7, 2000), (8, 4000), (9, 8000)):
            self.assertTrue(0.85 < means[failures] / mean < 1.15, means)
        self.assertTrue(min(means[12], means[13], means[100], means[1_000_000]) > 36_000)

    def test_a_first_wait_of_ones_own_is_the_least(self):
        for first in (1, 20, 30_000, 100_000):
            for failures in (0, 5, 50):
                self.assertTrue(connection.wait_ms(failures, first) >= first // 2)

    def test_after_a_restart_all_are_back_within_seconds(self):
        for outage_s in (0.5, 2, 5, 10):
            waits = sorted([comes_back(outage_s) for _ in range(BOARDS)])
            self.assertTrue(waits[BOARDS * 95 // 100] < 3)

    def test_the_longer_the_outage_the_fewer_come_back_in_any_second(self):
        for outage_s, share, last_s in (
            (5, 0.6, 3),
            (30, 0.15, 48),
            (120, 0.06, 60),
            (900, 0.06, 60),
        ):
            seconds = [0] * 61
            for _ in range(BOARDS):
                seconds[int(comes_back(outage_s))] += 1
            self.assertTrue(max(seconds) <= share * BOARDS, seconds)
            self.assertEqual(sum(seconds[last_s:]), 0)

    def test_an_outage_takes_few_lines_and_says_each_reason(self):
        log = FakeLog()
        attempts = []

        async def opener():
            attempts.append(None)
            raise OSError("no answer" if len(attempts) % 2 else "refused")

        client = Client(opener, "board", log=log)
        client.backoff_ms = 1

        async def body():
            task = asyncio.create_task(client.run())
            await until(lambda: len(attempts) > 9)
            task.cancel()

        run(body())
        told = [line.split("; ")[0] for line in log.lines]
        # At the 1st, 2nd, 4th and 8th failure.
        self.assertEqual(told, ["no broker: no answer"] + ["no broker: refused"] * 3)
        self.assertTrue("; attempt 8 in " in log.lines[-1])


if __name__ == "__main__":
    unittest.main()
