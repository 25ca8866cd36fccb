"""Tests waiting for others while something of our own blocks the event loop again and again."""

import asyncio
import time
import unittest

from fakes import run

from mqboard import clock
from mqboard.clock import within


async def block(seconds):
    """Block the loop in pieces of that length, until cancelled."""
    while True:
        time.sleep(seconds)
        await asyncio.sleep(0)


async def answer(steps, ended):
    """Take some turns of the loop until there is an answer."""
    try:
        for _ in range(steps):
            await asyncio.sleep(0)
        return "answer"
    finally:
        ended.append(steps)


class WithinTest(unittest.TestCase):
    def setUp(self):
        self.kept, clock._SLICE_S = clock._SLICE_S, 0.02
        self.ended = []

    def tearDown(self):
        clock._SLICE_S = self.kept

    def ask(self, seconds, awaitable, blocking=False):
        async def go():
            task = asyncio.create_task(block(0.03 if blocking else 0))
            await asyncio.sleep(0)
            try:
                return await within(seconds, awaitable)
            except asyncio.TimeoutError:  # noqa: UP041 (another one on MicroPython)
                return "too late"
            finally:
                task.cancel()

        return run(go())

    def test_what_blocks_the_loop_does_not_use_up_the_time_of_others(self):
        self.assertEqual(self.ask(0.1, answer(4, self.ended), blocking=True), "answer")

    def test_but_it_does_not_last_for_ever(self):
        self.assertEqual(self.ask(0.1, answer(1000, self.ended), blocking=True), "too late")
        self.assertEqual(self.ended, [1000])

    def test_without_an_answer_it_ends_and_so_does_who_waited_for_it(self):
        async def wait():
            try:
                await asyncio.sleep(10)
            finally:
                self.ended.append("wait")

        self.assertEqual(self.ask(0.1, wait()), "too late")
        self.assertEqual(self.ended, ["wait"])

    def test_what_goes_wrong_is_raised_as_it_is(self):
        async def fail():
            await asyncio.sleep(0)
            raise OSError(104)

        with self.assertRaises(OSError) as raised:
            self.ask(1, fail())
        self.assertEqual(raised.exception.args, (104,))


if __name__ == "__main__":
    unittest.main()
