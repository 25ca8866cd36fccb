"""Tests the user's modules: where they are found; what one does wrong stops nothing else."""

import asyncio
import sys
import unittest

from fakes import FakeLog, FakeNvs, run, until
from modulebench import GOOD, Bench, start_and_wait

from mqboard.health.bootrecord import Store
from mqboard.modules import sysinfo
from mqboard.modules.begin import begin, pin
from mqboard.modules.crashes import Record, blame
from mqboard.modules.together import together

IN_WORDS = ("ModuleError", "SystemExit", "KeyboardInterrupt", "GeneratorExit")


class ModulesTest(unittest.TestCase):
    def test_a_module_runs_with_its_settings(self):
        bench, module = start_and_wait({"good.py": GOOD}, "good", "running", modules={"good": [1]})
        self.assertEqual((module.file, module.error), (bench.folder + "/good.py", ""))
        self.assertEqual(bench.ran, [[1]])

    def check_error(self, text, *words):
        async def go():
            bench = Bench({"wrong.py": text, "good.py": GOOD}).start()
            await until(lambda: bench.log.lines and bench.ran)
            module = bench.modules.find("wrong")
            for word in words:
                self.assertIn(word, module.error)
            in_words = any([word in module.error for word in IN_WORDS])
            self.assertIn("module wrong" + (": " if in_words else " died; "), bench.log.lines[0])
            self.assertIn("; again in 1 s", bench.log.lines[0])
            self.assertEqual(len(bench.log.lines), 1 if in_words else 2)  # with a traceback
            self.assertEqual(bench.modules.find("good").state(), "running")
            return module.state()

        return run(go())

    def test_what_dies_is_named_with_the_line_and_started_again(self):
        text = "async def start(board, settings):\n    1 / 0\n"
        self.assertEqual(
            self.check_error(text, "ZeroDivisionError", "wrong.py", "line 2"), "waiting"
        )
        text = "async def start(board, settings):\n    raise MemoryError\n"
        self.assertEqual(self.check_error(text, "MemoryError"), "waiting")

    def test_one_without_memory_is_suspected_until_there_is_room_again(self):
        async def go():
            text = "async def start(board, settings):\n    raise MemoryError\n"
            bench = Bench({"big.py": text})
            bench.modules.start()
            await until(lambda: bench.blackbox.running)
            self.assertEqual(bench.blackbox.running, "module big")
            bench.task = asyncio.create_task(bench.supervisor.run())
            await until(lambda: not bench.blackbox.running)

        run(go())

    def test_what_ends_programs_ends_the_module_alone(self):
        text = "import sys\nasync def start(board, settings):\n    sys.exit()\n"
        self.assertEqual(self.check_error(text, "SystemExit", "line 3"), "waiting")
        for name in ("SystemExit", "KeyboardInterrupt", "GeneratorExit"):
            text = "async def start(board, settings):\n    raise %s\n" % name
            self.assertEqual(self.check_error(text, name, "wrong.py", "line 2"), "waiting")
            self.assertEqual(self.check_error("raise %s\n" % name, name), "failed")

    def test_of_an_error_that_is_long_the_place_is_whole(self):
        text = "async def start(board, settings):\n    raise ValueError('%s')\n" % ("x" * 300)
        self.check_error(text, "ValueError: xxx", "xxx...xxx", "wrong.py", "line 2, in start")

    def test_what_cannot_be_started_has_failed(self):
        self.assertEqual(self.check_error("import nowhere\n", "nowhere", "line 1"), "failed")
        self.assertEqual(self.check_error("def start(:\n", "SyntaxError"), "failed")
        self.assertEqual(self.check_error("x = 1\n", "no start(board, settings)"), "failed")
        self.assertEqual(self.check_error("start = 1\n", "TypeError"), "failed")
        text = "def start(board, settings):\n    pass\n"
        self.assertEqual(self.check_error(text, "must be async def"), "failed")
        self.assertEqual(self.check_error("raise MemoryError\n", "MemoryError"), "failed")

    def test_a_module_without_a_file_is_found_when_it_comes(self):
        async def go():
            bench = Bench({}, modules={"late": {}}).start()
            await until(lambda: bench.log.lines)
            said = "task module late: there is no late.py or .mpy in %s; again in 1 s"
            self.assertEqual(bench.log.lines, [said % bench.folder])  # and no traceback
            bench.write("late.py", GOOD)
            await bench.until_state("late", "running")

        run(go())

    def test_one_that_returns_has_ended(self):
        text = "async def start(board, settings):\n    pass\n"
        _, module = start_and_wait({"short.py": text}, "short", "ended")
        self.assertEqual((module.starts, module.error), (1, ""))

    def test_the_code_is_loaded_anew_for_each_start(self):
        async def go():
            text = "async def start(board, settings):\n    raise ValueError(%d)\n"
            bench = Bench({"fresh.py": text % 1}).start()
            module = bench.modules.find("fresh")
            await until(lambda: module.error)
            self.assertFalse("fresh" in sys.modules)
            bench.write("fresh.py", text % 22)
            await until(lambda: "22" in module.error)
            self.assertTrue(module.starts > 1)  # it may have been started before the new text

        run(go())

    def test_nothing_is_loaded_whose_name_begins_with_an_underscore(self):
        files = {"_boot.py": "import nowhere"}
        _, module = start_and_wait(files, "_boot", "failed", modules={"_boot": {}})
        self.assertIn("begins with _", module.error)

    def test_what_is_frozen_stays_loaded(self):
        before = sys.modules["mqboard.clock"]
        _, module = start_and_wait({}, "mqboard.clock", "failed", modules={"mqboard.clock": {}})
        self.assertIn("no start", module.error)
        if sys.implementation.name == "micropython":  # the file of CPython's is no frozen one
            self.assertTrue(sys.modules["mqboard.clock"] is before)


class TogetherTest(unittest.TestCase):
    def check_all_end(self, go_wrong):
        """Check that what runs beside `go_wrong(task)` is cancelled; return what came out."""
        ended = []

        async def lasts():
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(1)

        async def go():
            task = asyncio.create_task(together(lasts(), go_wrong(lambda: task), lasts()))
            try:
                await task
            except asyncio.CancelledError:
                return "cancelled"
            except ValueError as error:
                return str(error)
            finally:
                await until(lambda: len(ended) == 2)

        return run(go())

    def test_when_one_fails_all_end(self):
        async def fails(task):
            await asyncio.sleep(0.01)
            raise ValueError("boom")

        self.assertEqual(self.check_all_end(fails), "boom")

    def test_when_it_is_cancelled_all_end(self):
        async def cancels(task):
            await asyncio.sleep(0.01)
            task().cancel()

        self.assertEqual(self.check_all_end(cancels), "cancelled")


class SysinfoTest(unittest.TestCase):
    def test_a_wrong_interval_is_an_error(self):
        for wrong in (0, -1, "60", None):
            with self.assertRaises(ValueError):
                run(sysinfo.start(None, {"interval_s": wrong}))


class MainTest(unittest.TestCase):
    def test_boot_and_main_run_one_behind_the_other(self):
        files = {
            "boot.py": "first = 2\n",
            "main.py": "assert __name__ == '__main__'\n1 / (first - 2)",
        }
        _, module = start_and_wait(files, "main", "failed", "waiting", modules={"main": {}})
        self.assertIn("ZeroDivisionError", module.error)
        self.assertIn("main.py", module.error)

    def test_a_script_that_is_done_has_ended(self):
        _, module = start_and_wait({"main.py": "x = 1\n"}, "main", "ended", modules={"main": {}})
        self.assertEqual(module.error, "")

    def test_a_main_with_start_is_a_module(self):
        bench, _ = start_and_wait({"main.py": GOOD}, "main", "running", modules={"main": {"a": 1}})
        self.assertEqual(bench.ran, [{"a": 1}])

    def test_asyncio_run_in_a_script_harms_nothing(self):
        text = "import asyncio\nasync def main():\n    await asyncio.sleep(0.01)\n"
        text += "try:\n    asyncio.run(main())\nfinally:\n    asyncio.new_event_loop()\n"
        text += "async def start(board, settings):\n    await asyncio.sleep(0)\n"
        text += "    board.ran.append(main)\n"
        if sys.implementation.name == "micropython":  # CPython refuses a loop within a loop
            bench, module = start_and_wait({"main.py": text}, "main", "ended", modules={"main": {}})
            self.assertEqual((module.error, len(bench.ran)), ("", 1))
            self.assertFalse("main" in sys.modules)

    def test_without_either_file_it_has_failed(self):
        _, module = start_and_wait({}, "main", "failed", modules={"main": {}})
        self.assertIn("no /main.py", module.error)


class BeginTest(unittest.TestCase):
    def test_whatever_goes_wrong_the_board_goes_on(self):
        bench = Bench({"a.py": GOOD})
        bench.modules = None
        bench.config.modules = 5
        path = list(sys.path)
        begin(bench, Store(bench.nvs))
        sys.path[:] = path
        self.assertIn("not all modules", bench.log.lines[0])

    def test_no_file_stands_in_for_what_is_built_in(self):
        pin(("random",))
        Bench({"random.py": "mine = True\n"}, modules={"other": {}})
        import random

        self.assertFalse(hasattr(random, "mine"))


class CrashesTest(unittest.TestCase):
    def test_the_third_crash_disables_a_module_over_resets(self):
        nvs, log = FakeNvs(), FakeLog()
        for verdict in (False, False, True):
            self.assertEqual(blame("module bad", ["good", "bad"], Store(nvs), log), verdict)
        bench, module = start_and_wait(
            {"bad.py": GOOD, "good.py": GOOD}, "good", "running", nvs=nvs
        )
        self.assertEqual(len(bench.ran), 1)
        self.assertEqual(bench.modules.find("bad").state(), "disabled")
        self.assertEqual(bench.identity.disabled, {"bad": "after 3 crashes"})
        self.assertEqual(bench.announced, 1)
        # Whatever else comes is not its doing: boots that fail count for safe mode again.
        self.assertFalse(blame("module bad", ["bad"], Store(nvs), log))

    def test_only_configured_modules_are_blamed(self):
        nvs = FakeNvs()
        for culprit in ("", "eval abcd", "module", "module gone", "mqtt", "module ba"):
            self.assertFalse(blame(culprit, ["bad"], Store(nvs), FakeLog()))
        self.assertEqual(nvs.blobs, {})

    def test_a_name_that_was_cut_is_known_again(self):
        nvs, name = FakeNvs(), "a" * 80
        blame(("module " + name)[:64], ["b", name], Store(nvs), FakeLog())
        self.assertEqual(Record(Store(nvs)).crashes(name), 1)

    def test_a_full_or_damaged_nvs_stops_nothing(self):
        nvs, log = FakeNvs(), FakeLog()
        nvs.full = True
        for _ in range(4):  # it will run again: not even the third may keep safe mode away
            self.assertFalse(blame("module bad", ["bad"], Store(nvs), log))
        self.assertIn("NVS", log.lines[0])
        for junk in (b"{", b"[]", b'{"bad": [1]}', b'{"bad": "x"}', b"\xff", b'{"bad": null}'):
            nvs.blobs["modules"] = junk
            self.assertEqual(Record(Store(nvs)).why("bad"), "")
            self.assertEqual(Record(Store(nvs)).crashes("bad"), 0)

    def test_enabling_and_time_forget_crashes(self):
        nvs = FakeNvs()
        record = Record(Store(nvs))
        for name in ("a", "b", "b", "b"):
            record.count(name)
        record.disable("c")
        record.forgive()
        self.assertEqual(
            [Record(Store(nvs)).why(name)[:5] for name in "abc"], ["", "after", "by a "]
        )
        self.assertEqual(Record(Store(nvs)).crashes("a"), 0)
        record.enable("b")
        record.enable("c")
        record.enable("never known")
        self.assertEqual(nvs.blobs, {})


class CommandTest(unittest.TestCase):
    def test_it_lists_all_by_name(self):
        async def go():
            bench = Bench({"b.py": GOOD, "a.py": "x"}).start()
            await bench.until_state("b", "running")
            await bench.until_state("a", "failed")
            return await bench.ask(""), await bench.ask("list")

        first, second = run(go())
        self.assertEqual(first["mode"], "normal")
        self.assertEqual(
            [(m["name"], m["state"]) for m in first["modules"]], [("a", "failed"), ("b", "running")]
        )
        self.assertEqual(first["modules"][1]["disabled"], None)
        self.assertEqual(len(second["modules"]), 2)

    def test_a_board_without_modules_has_an_empty_list(self):
        async def go():
            bench = Bench({})
            bench.modules = None
            self.assertEqual((await bench.ask("list"))["modules"], [])
            self.assertIn("no module x", await bench.ask("restart x"))

        run(go())

    def test_disable_stops_and_enable_starts(self):
        async def go():
            bench = Bench({"a.py": GOOD}).start()
            await bench.until_state("a", "running")
            self.assertEqual((await bench.ask("disable a"))["state"], "disabled")
            self.assertEqual(bench.identity.disabled, {"a": "by a person"})
            self.assertTrue(bench.supervisor.find("module a") is None)
            self.assertIn("by a person: enable it", await bench.ask("restart a"))
            self.assertEqual(bench.modules.record().why("a"), "by a person")
            self.assertEqual((await bench.ask("enable a"))["state"], "running")
            self.assertEqual((bench.identity.disabled, bench.nvs.blobs), (None, {}))
            self.assertEqual(len(bench.ran), 2)

        run(go())

    def test_restart_takes_new_code_and_says_what_is_wrong_with_it(self):
        async def go():
            bench = Bench({"a.py": GOOD}).start()
            await bench.until_state("a", "running")
            bench.write("a.py", "1 / 0")
            facts = await bench.ask("restart a")
            self.assertEqual((facts["state"], facts["restarts"]), ("failed", 0))
            self.assertIn("ZeroDivisionError", facts["error"])

        run(go())

    def test_one_that_does_not_end_is_told(self):
        async def go():
            text = "import asyncio\nasync def start(board, settings):\n    for _ in range(3):\n"
            text += "        try:\n            await asyncio.sleep(60)\n"
            text += "        except asyncio.CancelledError:\n            pass\n"
            bench = Bench({"a.py": text}).start()
            await bench.until_state("a", "running")
            bench.modules.stop_s = 0.1
            self.assertIn("has not ended", await bench.ask("restart a"))
            self.assertEqual(bench.modules.find("a").state(), "running")

        run(go())

    def test_a_module_may_have_statistics(self):
        async def go():
            good = GOOD + "def statistics(board):\n    return {'ran': len(board.ran)}\n"
            bad = GOOD + "def statistics(board):\n    return board.nothing\n"
            bench = Bench({"a.py": good, "b.py": bad, "c.py": GOOD}).start()
            for name in ("a", "b", "c"):
                await bench.until_state(name, "running")
            a, b, c = (await bench.ask("list"))["modules"]
            self.assertEqual(a["statistics"], {"ran": 3})
            self.assertIn("AttributeError", b["statistics"])
            self.assertTrue("statistics" not in c)
            self.assertTrue("statistics" not in await bench.ask("disable a"))

        run(go())

    def test_in_safe_mode_nothing_starts(self):
        async def go():
            bench = Bench({"a.py": GOOD}, mode="safe")
            self.assertEqual((await bench.ask("list"))["modules"][0]["state"], "stopped")
            self.assertIn("safe mode", await bench.ask("restart a"))
            self.assertEqual((await bench.ask("disable a"))["state"], "disabled")
            self.assertEqual((await bench.ask("enable a"))["state"], "stopped")
            self.assertEqual(bench.ran, [])

        run(go())

    def test_when_nvs_is_full_it_says_so(self):
        async def go():
            bench = Bench({"a.py": GOOD}).start()
            await bench.until_state("a", "running")
            bench.nvs.full = True
            self.assertIn("NVS", await bench.ask("disable a"))
            self.assertIn("no such action", await bench.ask("eat a"))

        run(go())


if __name__ == "__main__":
    unittest.main()
