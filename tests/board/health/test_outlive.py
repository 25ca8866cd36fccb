"""Tests that what a task raises and asyncio lets out ends that task alone; Ctrl-C is told apart."""

import asyncio
import sys
import unittest

from mqboard.health import outlive
from mqboard.log import Logger

MICROPYTHON = sys.implementation.name == "micropython"  # CPython's loop ends with such a task


class Console:
    """A console whose Ctrl-C is the exception `real`; None: nothing comes of it."""

    dropped = 0

    def __init__(self, real=None):
        self.real = real
        self.said = []

    def say(self, level, write, what):
        self.said.append(what)

    def interrupt(self):
        if self.real:
            raise self.real


async def stops(error):
    raise error


async def waits(seconds=0):
    await asyncio.sleep(seconds)


class OutliveTest(unittest.TestCase):
    def setUp(self):
        self.console = Logger.console

    def tearDown(self):
        Logger.console = self.console

    def typed(self, error, real):
        Logger.console = Console(real)
        return outlive.typed(error)

    def test_only_the_one_that_is_typed_is_ctrl_c(self):
        real = KeyboardInterrupt()
        self.assertTrue(self.typed(real, real))
        self.assertFalse(self.typed(KeyboardInterrupt(), real))
        self.assertFalse(self.typed(KeyboardInterrupt(), None))
        self.assertFalse(self.typed(SystemExit(), real))

    def check(self, body):
        """Run `body()` in a loop that outlives; return what was logged."""
        Logger.console = Console()
        if MICROPYTHON:
            outlive.run_until_complete(asyncio.create_task(body()))
        return Logger.console.said

    def test_who_waits_for_the_task_gets_an_exception(self):
        async def body():
            task = asyncio.create_task(stops(KeyboardInterrupt("mine")))
            try:
                await task
            except RuntimeError as error:
                self.assertIn("KeyboardInterrupt('mine'", str(error))
            self.assertTrue(task.done())
            with self.assertRaises(RuntimeError):
                await asyncio.gather(stops(SystemExit()), waits())
            with self.assertRaises(RuntimeError):
                await asyncio.wait_for(stops(GeneratorExit()), 5)

        self.check(body)

    def test_a_task_that_nobody_waits_for_is_done_and_others_go_on(self):
        async def body():
            task = asyncio.create_task(stops(KeyboardInterrupt("mine")))
            other = asyncio.create_task(waits(0.02))
            await asyncio.sleep(0.01)
            self.assertTrue(task.done())
            with self.assertRaises(RuntimeError):
                await task
            await other

        said = self.check(body)
        self.assertEqual("KeyboardInterrupt('mine'" in repr(said[-1:]), MICROPYTHON)

    def test_the_loop_ends_with_what_its_main_task_raises(self):
        if MICROPYTHON:
            with self.assertRaises(SystemExit):
                self.check(lambda: stops(SystemExit()))


if __name__ == "__main__":
    unittest.main()
