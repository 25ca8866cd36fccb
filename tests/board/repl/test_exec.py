"""Tests code that runs as a job: what it puts out, how it ends, who can end it."""

import json
import unittest

from commandbench import Bench
from fakes import run, until

from mqboard.health import blackbox

FOREVER = b"""async def __await__():
 global asyncio
 write(b'begun')
 await asyncio.sleep(1000)
"""


class ExecTest(unittest.TestCase):
    def test_the_first_word_says_which_boot_it_is_and_the_last_how_it_ended(self):
        async def go():
            bench = Bench().start()
            bench.exec(b"x = 5\nwrite(b'%d' % x)")
            self.assertEqual(await bench.end(), (b"5", {}))
            sequence, last, data = bench.parts("abcdefgh")[0]
            self.assertEqual((sequence, last, json.loads(data)), (0, False, {"boot_id": "b00t"}))
            self.assertIsNone(bench.router.jobs)
            self.assertIsNone(bench.supervisor.watch)

        run(go())

    def test_names_are_those_of_all_commands(self):
        async def go():
            bench = Bench().start()
            bench.exec(b"kept = 7")
            await bench.end()
            bench.sent.clear()
            await bench.eval(b"kept", "22222222")
            self.assertEqual(bench.sent[-1][1], b"\x80\x007")

        run(go())

    def test_a_traceback_has_no_frames_of_ours(self):
        async def go():
            bench = Bench().start()
            bench.exec(b"write(b'before')\n1/0", file="lamp.py")
            output, end = await bench.end()
            self.assertEqual(output, b"before")
            lines = end["error"].split("\n")
            self.assertEqual(lines[0], "Traceback (most recent call last):")
            self.assertIn("ZeroDivisionError", lines[-1])
            self.assertFalse([line for line in lines if line.startswith('  File "mqboard/')])
            self.assertIn('  File "lamp.py", line 2, in <module>', lines)

        run(go())

    def test_leaving_is_no_error(self):
        async def go():
            for source, end in (
                (b"raise SystemExit", {}),
                (b"raise SystemExit(0)", {}),
                (b"raise SystemExit(3)", {"exit": 3}),
                (b"raise SystemExit('no lamp')", {"exit": "no lamp"}),
            ):
                bench = Bench().start()
                bench.exec(source)
                self.assertEqual((await bench.end())[1], end)

        run(go())

    def test_a_coroutine_that_the_source_defines_is_awaited_and_its_name_forgotten(self):
        async def go():
            bench = Bench().start()
            source = (
                b"async def go():\n global x\n await asyncio.sleep(0.01)\n x = 5\n write(b'%d' % x)"
            )
            bench.exec(source, **{"await": "go"})
            self.assertEqual(await bench.end(), (b"5", {}))
            self.assertEqual(bench.names["x"], 5)
            self.assertFalse("go" in bench.names)

        run(go())

    def test_what_is_put_out_between_two_waits_comes_at_once(self):
        async def go():
            bench = Bench().start()
            bench.exec(FOREVER, **{"await": "__await__"})
            await until(lambda: bench.output() == b"begun")
            self.assertIsNone(bench.console.capture)
            self.assertIsNone(bench.last())

        run(go())

    def test_code_that_waits_holds_up_nobody_and_outputs_do_not_mix(self):
        async def go():
            bench = Bench().start()
            source = (
                b"async def f():\n for i in range(5):\n  write(b'%s')\n  await asyncio.sleep(0)"
            )
            bench.exec(source.replace(b"%s", b"a"), "aaaaaaaa", **{"await": "f"})
            bench.exec(source.replace(b"%s", b"b"), "bbbbbbbb", **{"await": "f"})
            self.assertEqual(await bench.end("aaaaaaaa"), (b"aaaaa", {}))
            self.assertEqual(await bench.end("bbbbbbbb"), (b"bbbbb", {}))

        run(go())

    def test_a_fifth_command_at_a_time_is_told_which_run(self):
        async def go():
            bench = Bench().start()
            for letter in "abcde":
                bench.exec(FOREVER, 8 * letter, **{"await": "__await__"})
            errors = []
            await until(lambda: errors.extend(bench.errors("eeeeeeee")) or errors)
            self.assertIn(b"busy", errors[0])
            self.assertIn(b"aaaaaaaa (write(b'begun')", errors[0])

        run(go())

    def test_options_that_are_none_are_an_error(self):
        async def go():
            for body in (b"print(1)", b"{}", b"[]\n1", b"\n1"):
                bench = Bench().start()
                bench.send("exec", "abcdefgh", body)
                await until(lambda bench=bench: bench.sent)
                self.assertEqual(bench.sent[0][0], "reply/err/abcdefgh")

        run(go())

    def test_credit_that_is_no_number_is_an_error_and_nothing_stays_behind(self):
        async def go():
            for credit in ("many", "", [], {}, [1], 1.5):
                bench = Bench().start()
                bench.exec(b"write(b'x')", credit=credit)
                await until(lambda bench=bench: bench.sent)
                self.assertIn(b"credit must be a number", bench.errors("abcdefgh")[0])
                self.assertIsNone(bench.router.jobs)
                self.assertIsNone(bench.supervisor.watch)

        run(go())

    def test_the_black_box_is_told_what_runs_until_it_waits(self):
        async def go():
            bench = Bench().start()
            seen = []
            bench.names["look"] = lambda: seen.append(
                (bench.blackbox.running, bench.blackbox._data[6])
            )
            source = b"look()\nasync def f():\n await asyncio.sleep(0)\n look() # reset()"
            bench.exec(source, **{"await": "f"})
            await bench.end()
            self.assertEqual(seen[0][0], "exec abcdefgh " + source[:40].decode().replace("\n", " "))
            self.assertEqual(seen[1], ("", blackbox.BY_CODE))
            self.assertEqual(bench.blackbox._data[6], blackbox.SILENT)

        run(go())


class CancelTest(unittest.TestCase):
    def test_what_runs_is_told_and_can_be_ended_by_its_id(self):
        async def go():
            bench = Bench().start()
            bench.exec(FOREVER, **{"await": "__await__"})
            bench.exec(FOREVER, "bbbbbbbb", **{"await": "__await__"})
            await until(lambda: bench.output("bbbbbbbb"))
            bench.send("running", "11111111", b"")
            _, told = await bench.end("11111111")
            self.assertEqual([each["id"] for each in told["running"]], ["abcdefgh", "bbbbbbbb"])
            typed = "write(b'begun')  await asyncio.sleep(1000)"  # without what awaits it
            self.assertEqual(told["running"][0]["text"], typed[:40])
            bench.send("cancel", "22222222", b"", tail="abcdefgh")
            _, end = await bench.end()
            self.assertTrue(end["cancelled"])
            self.assertIn("CancelledError", end["error"])
            await until(lambda: bench.last("22222222") == b"OK")
            self.assertIsNone(bench.last("bbbbbbbb"))

        run(go())

    def test_all_that_runs_can_be_ended(self):
        async def go():
            bench = Bench().start()
            for ident in ("aaaaaaaa", "bbbbbbbb"):
                bench.exec(FOREVER, ident, **{"await": "__await__"})
            await until(lambda: bench.output("bbbbbbbb"))
            bench.send("cancel", "22222222", b"all")
            for ident in ("aaaaaaaa", "bbbbbbbb"):
                self.assertTrue((await bench.end(ident))[1]["cancelled"])

        run(go())

    def test_code_that_is_cancelled_before_it_began_does_not_begin(self):
        async def go():
            bench = Bench().start()
            bench.names["begun"] = False
            bench.exec(b"begun = True")
            bench.send("cancel", "22222222", b"", tail="abcdefgh")
            self.assertTrue((await bench.end())[1]["cancelled"])
            self.assertFalse(bench.names["begun"])

        run(go())

    def test_code_that_goes_on_is_ended_by_the_second(self):
        async def go():
            bench = Bench().start()
            source = b"""async def f():
 try:
  await asyncio.sleep(1000)
 except asyncio.CancelledError:
  write(b'no')
 await asyncio.sleep(1000)"""
            bench.exec(source, **{"await": "f"})
            await until(lambda: bench.router.jobs and bench.router.jobs.all[0].began)
            bench.send("cancel", "11111111", b"", tail="abcdefgh")
            await until(lambda: bench.output() == b"no")
            bench.send("cancel", "11111111", b"", tail="abcdefgh")  # the same, once more
            self.assertIsNone(bench.last())
            bench.send("cancel", "22222222", b"", tail="abcdefgh")
            self.assertTrue((await bench.end())[1]["cancelled"])

        run(go())

    def test_without_an_id_it_is_a_transfer_that_is_meant(self):
        async def go():
            bench = Bench().start()
            bench.exec(FOREVER, **{"await": "__await__"})
            await until(lambda: bench.output())
            bench.send("cancel", "22222222", b"")
            await until(lambda: bench.last("22222222"))
            self.assertEqual(bench.last("22222222"), b"OK")
            self.assertIsNone(bench.last())

        run(go())


class CreditTest(unittest.TestCase):
    def test_asynchronous_code_waits_for_credit_and_others_go_on(self):
        async def go():
            bench = Bench().start()
            source = b"async def f():\n for i in range(20):\n  write(b'x' * 100)\n"
            source += b"  await asyncio.sleep(0)"
            bench.exec(source, credit=1000, **{"await": "f"})
            await until(lambda: len(bench.output()) >= 700)
            await bench.eval(b"1", "22222222")
            self.assertTrue(len(bench.output()) <= 1000)
            self.assertIsNone(bench.last())
            bench.send("credit", "abcdefgh", b"4000")
            self.assertEqual(await bench.end(), (b"x" * 2000, {}))

        run(go())

    def test_credit_for_what_does_not_run_is_nothing(self):
        async def go():
            bench = Bench().start()
            bench.send("credit", "abcdefgh", b"4000")
            bench.exec(FOREVER, **{"await": "__await__"})
            await until(lambda: bench.output())
            for text in (b"", b"-5", b"many", b"1"):
                bench.send("credit", "abcdefgh", text)
            bench.send("credit", "zzzzzzzz", b"5000")
            await bench.eval(b"1", "22222222")
            self.assertFalse([topic for topic, _ in bench.sent if "err" in topic])

        run(go())


if __name__ == "__main__":
    unittest.main()
