"""Tests the supervisor: dead tasks are started again, only healthy ones feed the watchdog."""

import asyncio
import sys
import unittest

from fakes import FakeLog, black_box, run, until

from mqboard.clock import ticks_ms
from mqboard.health import supervisor as tested


def make(feed=lambda: None, log=None, timeout_ms=60_000):
    """Return a supervisor; its black box is `_box`."""
    return tested.Supervisor(feed, timeout_ms, black_box(), log or FakeLog())


async def lives():
    await asyncio.sleep(60)


class SupervisorTest(unittest.TestCase):
    def test_it_feeds_restarts_and_logs(self):
        async def go():
            fed = []
            log = FakeLog()
            supervisor = make(lambda: fed.append(1), log)
            runs = []

            async def dies():
                runs.append(1)
                raise ValueError("boom")

            supervisor.add("mortal", dies)
            task = asyncio.create_task(supervisor.run())
            await until(lambda: len(runs) == 2 and len(fed) >= 2)
            self.assertIn("mortal", log.lines[0])
            self.assertTrue(supervisor.calm_s() < 1)
            task.cancel()

        run(go())

    def test_a_board_is_calm_only_since_all_vital_tasks_run(self):
        async def go():
            supervisor = make()
            runs = []

            async def dies_once():
                runs.append(1)
                if len(runs) == 1:
                    raise ValueError("boom")
                await lives()

            supervisor.add("long", lives)
            supervisor.add("mortal", dies_once)
            task = asyncio.create_task(supervisor.run())
            await until(lambda: supervisor._entries[1].deaths)
            supervisor.seconds += 100  # of its pause
            self.assertEqual(supervisor.calm_s(), 0)
            await until(lambda: len(runs) == 2)
            self.assertTrue(supervisor.calm_s() <= 1)
            task.cancel()

        run(go())

    def test_a_vital_task_may_neither_return_nor_be_cancelled(self):
        async def go():
            log = FakeLog()
            supervisor = make(log=log)

            async def returns():
                pass

            async def waits():
                await asyncio.sleep(60)

            supervisor.add("short", returns)
            supervisor.add("long", waits)
            supervisor.add("once", returns, vital=False)
            supervisor._entries[1].task.cancel()
            task = asyncio.create_task(supervisor.run())
            await until(lambda: len(supervisor._entries) == 2 and len(log.lines) >= 4)
            self.assertEqual([entry.deaths for entry in supervisor._entries], [1, 1])
            self.assertIn("returned", "".join(log.lines))
            self.assertIn("cancelled", "".join(log.lines))
            task.cancel()

        run(go())

    def test_a_vital_task_that_keeps_dying_ends_the_board_with_its_own_error(self):
        async def go():
            supervisor = make()

            async def dies():
                raise ValueError("boom")

            supervisor.add("vital", dies)
            supervisor.add("module x", dies, vital=False)
            for entry in supervisor._entries:
                entry.deaths = 9
            with self.assertRaises(ValueError):
                await asyncio.wait_for(supervisor.run(), 5)
            self.assertEqual(supervisor._box.running, "task vital")

        run(go())


class LateTest(unittest.TestCase):
    """What the timer finds out when a task does not yield."""

    def noted(self, current, names=("mqtt", "module blink")):
        async def go():
            supervisor = make()
            for name in names:
                supervisor.add(name, lives, vital=not name.startswith("module"))
            supervisor._last = ticks_ms() - 25_000
            usual = getattr(asyncio.core, "cur_task", None)
            asyncio.core.cur_task = current(supervisor)
            supervisor.look(None)
            supervisor.look(None)
            asyncio.core.cur_task = usual
            running, lines = supervisor._box.running, len(supervisor._log.lines)
            supervisor._last = ticks_ms()
            await supervisor._turn()
            self.assertEqual(supervisor._box.running, "")
            return running, lines

        return run(go())

    def test_a_module_is_named_and_so_is_a_task_of_ours(self):
        self.assertEqual(self.noted(lambda it: it._entries[1].task), ("module blink", 1))
        self.assertEqual(self.noted(lambda it: it._entries[0].task), ("task mqtt", 1))

    def test_a_task_of_a_modules_own_is_told_by_the_function_it_runs(self):
        class Task:
            def __init__(self, name):
                self.coro = Coroutine(name)

        class Coroutine:
            def __init__(self, name):
                self.name = name

            def __repr__(self):
                return "<generator object '%s' at 7f00>" % self.name

        self.assertEqual(self.noted(lambda it: Task("sparkle")), ("task sparkle", 1))
        self.assertEqual(self.noted(lambda it: None), ("unknown", 1))
        module = sys.modules["blink"] = type(sys)("blink") if hasattr(sys, "path_hooks") else Task
        module.sparkle = None
        try:
            self.assertEqual(self.noted(lambda it: Task("sparkle")), ("module blink", 1))
        finally:
            del sys.modules["blink"]

    def test_a_turn_that_is_not_overdue_is_nothing(self):
        async def go():
            for timeout_ms, fine_ms, late_ms in (
                (2_000, 1_100, 1_500),
                (60_000, 19_000, 21_000),
                (86_400_000, 19_000, 21_000),
            ):
                supervisor = make(timeout_ms=timeout_ms)
                # In time to be told before the watchdog bites.
                self.assertTrue(supervisor._late_ms + supervisor.look_ms < timeout_ms)
                supervisor._last = ticks_ms() - fine_ms
                supervisor.look(None)
                self.assertEqual(supervisor._box.running, "")
                supervisor._last = ticks_ms() - late_ms
                supervisor.look(None)
                self.assertTrue(supervisor._box.running in ("unknown", "task go"))

        run(go())

    def test_what_has_said_itself_that_it_runs_is_believed(self):
        async def go():
            supervisor = make()
            supervisor._box.run("eval abc")
            supervisor._last = ticks_ms() - 25_000
            supervisor.look(None)
            self.assertEqual(supervisor._box.running, "eval abc")
            self.assertIn("eval abc", supervisor._log.lines[0])

        run(go())


class ShortTasksTest(unittest.TestCase):
    def test_what_has_returned_is_forgotten_by_the_next_one_that_begins(self):
        async def go():
            supervisor = make()
            ended = []

            async def short():
                ended.append(1)

            async def fails():
                ended.append(1)
                raise ValueError

            supervisor.add("fails", fails, vital=False)
            for count in range(2, 7):
                supervisor.add("short", short, vital=False)
                await until(lambda count=count: len(ended) == count)
                await asyncio.sleep(0)
            names = [entry.name for entry in supervisor._entries]
            self.assertEqual(names, ["fails", "short"])

        run(go())


class FullHeapTest(unittest.TestCase):
    def test_a_start_that_has_no_memory_is_tried_again(self):
        async def go():
            supervisor = make()
            tries = []

            def start():
                tries.append(1)
                if len(tries) in (2, 3):
                    raise MemoryError
                return dies() if len(tries) < 2 else lives()

            async def dies():
                raise ValueError

            supervisor.add("mortal", start)
            entry = supervisor.find("mortal")
            await until(lambda: entry.task.done())
            for _ in range(5):
                await supervisor._turn()
                supervisor.seconds += 1
            self.assertEqual(len(tries), 4)
            self.assertFalse(entry.task.done())

        run(go())

    def starve(self, names, turns, frees=None):
        """Turn `turns` times with a heap that is full until the module `frees` has ended."""

        async def go():
            supervisor = make()

            def no_room(size):
                for entry in supervisor._entries:
                    if entry.name == frees and entry.task is None:
                        return
                raise MemoryError

            for name in names:
                supervisor.add(name, lives, vital=not name.startswith("module"))
            tested.bytearray = no_room
            try:
                for _ in range(turns):
                    await supervisor._turn()
                    await asyncio.sleep(0)
            except MemoryError as error:
                supervisor._log.lines.append(str(error))
            finally:
                del tested.bytearray
            return supervisor

        return run(go())

    def test_the_module_that_eats_the_heap_is_stopped_and_the_board_lives(self):
        modules = ("module old", "module eater", "module new")
        supervisor = self.starve(("mqtt", "update") + modules, 20, "module eater")
        text = "\n".join(supervisor._log.lines)
        self.assertIn("task module eater died; again in", text)
        self.assertIn("MemoryError", text)
        self.assertFalse("module old" in text)
        self.assertEqual([entry.deaths for entry in supervisor._entries], [0, 0, 0, 1, 1])
        self.assertEqual(supervisor._box.running, "")
        # The next time it is the first to go.
        for entry in supervisor._entries:
            entry.stopped = 0
        self.assertEqual(supervisor._to_stop().name, "module eater")

    def test_a_heap_that_stays_full_ends_the_board_and_the_only_module_is_to_blame(self):
        supervisor = self.starve(("mqtt", "module eater"), 6)
        self.assertEqual(supervisor._log.lines[-1], "the heap stays full")
        self.assertEqual(supervisor.let_go(), "module eater")
        self.assertEqual(supervisor._entries, [])

    def test_a_module_is_stopped_when_there_is_no_memory_for_a_turn_either(self):
        async def go():
            supervisor = make()
            supervisor.add("module eater", lives, vital=False)
            entry = supervisor.find("module eater")
            turn = supervisor._turn

            def no_turn():
                if not entry.task.done():
                    raise MemoryError
                return turn()

            def no_room(size):
                raise MemoryError

            supervisor._turn = no_turn
            tested.bytearray, tested._TURN_S = no_room, 0.01
            running = asyncio.create_task(supervisor.run())
            try:
                await until(lambda: entry.stopped)
            finally:
                del tested.bytearray
                tested._TURN_S = 1
                running.cancel()

        run(go())

    def test_of_several_modules_none_is_blamed_when_stopping_them_did_not_help(self):
        supervisor = self.starve(("mqtt", "module a", "module b"), 20)
        self.assertEqual(supervisor._log.lines[-1], "the heap stays full")
        self.assertEqual(supervisor.let_go(), None)

    def test_room_for_a_command_is_made_by_stopping_modules_for_a_minute(self):
        async def go():
            supervisor = make()
            for name in ("mqtt", "module a", "module b"):
                supervisor.add(name, lives, vital=name == "mqtt")
            self.assertEqual([supervisor.make_room() for _ in range(3)], [True, True, False])
            await asyncio.sleep(0)
            await supervisor._turn()
            mqtt, a, b = supervisor._entries
            self.assertEqual((mqtt.deaths, a.pause, b.pause), (0, 60, 60))
            self.assertFalse(supervisor.make_room())
            supervisor.seconds += 60
            await supervisor._turn()
            self.assertEqual([entry.stopped for entry in (a, b)], [0, 0])
            self.assertTrue(supervisor.make_room())

        run(go())

    def test_a_moment_without_memory_is_nothing(self):
        supervisor = self.starve(("mqtt", "module a"), 2)
        self.assertEqual(supervisor._log.lines, [])


if __name__ == "__main__":
    unittest.main()
