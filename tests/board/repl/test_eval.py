"""Tests the REPL: what an expression and statements answer, and what errors do."""

import unittest

from commandbench import Bench
from fakes import run

import mqwire
from mqboard.health import blackbox


class EvalTest(unittest.TestCase):
    def test_an_expression_answers_its_repr(self):
        async def go():
            for source, answer in (
                (b"45+876", b"921"),
                (b"'a'", b"'a'"),
                (b"None", b"None"),
                (b"len('\xc3\xa4' * 2)", b"2"),
            ):
                sent = await Bench().start().eval(source)
                self.assertEqual(sent, [("reply/out/abcdefgh", b"\x80\x00" + answer)])

        run(go())

    def test_statements_answer_what_they_print(self):
        async def go():
            sent = await Bench().start().eval(b"x = 5\nwrite(b'%d' % x)")
            self.assertEqual(sent[0][1], b"\x80\x005")

        run(go())

    def test_a_printing_expression_leaves_its_none_out(self):
        async def go():
            sent = await Bench().start().eval(b"write(b'hi')")
            self.assertEqual(sent[0][1], b"\x80\x00hi")

        run(go())

    def test_output_larger_than_a_message_comes_in_sequence(self):
        async def go():
            for size in (1399, 1400, 1401, 2800, 10000):
                bench = Bench().start()
                sent = await bench.eval(b"for i in range(%d): write(b'x')" % size)
                parts = [mqwire.parse_header(payload) for _, payload in sent]
                self.assertEqual([part[0] for part in parts], list(range(len(parts))))
                self.assertEqual(sum([len(payload) - 2 for _, payload in sent]), size)
                bench.task.cancel()

        run(go())

    def test_a_traceback_goes_to_err_after_what_was_printed(self):
        async def go():
            sent = await Bench().start().eval(b"write(b'before')\n1/0")
            self.assertEqual(sent[0], ("reply/out/abcdefgh", b"\x00\x00before"))
            self.assertEqual(sent[1][0], "reply/err/abcdefgh")
            self.assertIn(b"ZeroDivisionError", sent[1][1])

        run(go())

    def test_errors_of_every_kind_are_answered(self):
        async def go():
            for source, name in (
                (b"(", b"SyntaxError"),
                (b"\xff", b"no UTF-8"),
                (b"raise SystemExit", b"SystemExit"),
                (b"raise MemoryError", b"MemoryError"),
                (b"undefined_name", b"NameError"),
            ):
                bench = Bench().start()
                sent = await bench.eval(source)
                self.assertEqual(sent[-1][0], "reply/err/abcdefgh")
                self.assertIn(name, sent[-1][1])
                self.assertIsNone(bench.console.capture)
                bench.task.cancel()

        run(go())

    def test_names_stay_between_commands(self):
        async def go():
            bench = Bench().start()
            await bench.eval(b"kept = 7", "11111111")
            bench.sent.clear()
            await bench.eval(b"kept", "22222222")
            self.assertEqual(bench.sent[-1][1], b"\x80\x007")

        run(go())

    def test_the_black_box_is_told_what_runs_and_whether_it_may_reset(self):
        async def go():
            bench = Bench().start()
            seen = []
            bench.names["look"] = lambda *_: seen.append(
                (bench.blackbox.running, bench.blackbox._data[6])
            )
            for ident, source in (
                ("abcdefgh", b"look()"),
                ("bbbbbbbb", b"look('machine.reset()')"),
                ("cccccccc", b"look(" + 100 * b"1," + b")\nraise ValueError"),
            ):
                bench.sent.clear()
                await bench.eval(source, ident)
            self.assertEqual(seen[0], ("eval abcdefgh look()", blackbox.SILENT))
            self.assertEqual(seen[1][1], blackbox.BY_CODE)
            self.assertEqual(seen[2][0], "eval cccccccc look(" + 17 * "1," + "1")
            self.assertEqual(
                (bench.blackbox.running, bench.blackbox._data[6]), ("", blackbox.SILENT)
            )

        run(go())

    def test_an_eval_that_raises_what_ends_programs_is_answered(self):
        async def go():
            for name in ("KeyboardInterrupt", "SystemExit", "GeneratorExit"):
                bench = Bench().start()
                sent = await bench.eval(b"raise " + name.encode())
                self.assertIn(name.encode(), sent[-1][1])
                bench.task.cancel()

        run(go())


if __name__ == "__main__":
    unittest.main()
