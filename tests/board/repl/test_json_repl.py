"""Tests the JSON REPL: whatever code does, the answer is one JSON object of bounded size."""

import json
import unittest

from commandbench import Bench
from fakes import FakeLog, run

from mqboard.repl.json import JsonRepl, readable
from mqwire import MAX_PAYLOAD


class Publishing:
    connected = False

    def __init__(self, reader):
        self.reader = reader
        self.sent = []

    async def publish(self, topic, payload, qos):
        self.sent.append((topic, payload))


def ask(*texts, retained=False):
    """Return what is answered to the last of these texts, and how many answers there were."""

    async def go():
        bench = Bench()
        bench.client = Publishing(bench.client.reader)
        bench.repl = JsonRepl(bench, FakeLog())
        for text in texts:
            await bench.repl.take("esp32/test/repl/in", text, retained)
        return bench

    bench = run(go())
    answers = []
    for topic, payload in bench.client.sent:
        assert topic == "esp32/test/repl/out"
        assert len(payload) <= MAX_PAYLOAD, len(payload)
        payload.decode()
        answers.append(json.loads(payload))
        assert sorted(answers[-1]) == ["e", "o", "r", "x"]
    return bench, answers


def answer(*texts):
    return ask(*texts)[1][-1]


class JsonReplTest(unittest.TestCase):
    def test_an_expression_has_a_value(self):
        self.assertEqual(answer(b"45+876"), {"r": "921", "o": "", "e": None, "x": False})
        self.assertEqual(answer(b"write(b'hello')")["o"], "hello")
        self.assertEqual(answer(b"None"), {"r": None, "o": "", "e": None, "x": False})

    def test_statements_are_executed_and_their_names_stay(self):
        told = answer(b"a = 1\nwrite(b'%d' % a)")
        self.assertEqual(told, {"r": None, "o": "1", "e": None, "x": True})
        self.assertEqual(answer(b"a = 3", b"a")["r"], "3")

    def test_an_exception_is_told_with_what_was_printed_before(self):
        told = answer(b"write(b'before')\n1/0")
        self.assertEqual((told["o"], told["r"]), ("before", None))
        self.assertTrue("ZeroDivisionError" in told["e"])
        for text in (b"raise SystemExit", b"raise KeyboardInterrupt", b"raise MemoryError", b"(("):
            self.assertTrue(answer(text)["e"], text)

    def test_what_is_no_utf8_is_an_error_and_no_end(self):
        told = answer(b"\xff\xfe")
        self.assertTrue("UTF-8" in told["e"] and told["r"] is None)
        self.assertEqual(answer(b"\xff", b"1")["r"], "1")

    def test_whatever_is_printed_makes_valid_json(self):
        self.assertEqual(answer(b"write(bytes(range(32)))")["o"], bytes(range(32)).decode())
        self.assertEqual(answer(b"write(b'\"\\\\\\x7f')")["o"], '"\\\x7f')
        told = answer(b"write(bytes(range(256)))")
        self.assertEqual(told["o"], bytes(range(128)).decode() + "?" * 128)

    def test_utf8_stays_and_what_is_none_is_replaced(self):
        good = "aé€😀\ud7ff\ue000\U0010ffff"
        self.assertEqual(readable(good.encode()), good)
        for bad, clean in (
            (b"\x80", "?"),
            (b"\xc0\x80", "??"),
            (b"\xc3", "?"),
            (b"a\xc3(", "a?("),
            (b"\xe0\x80\x80", "???"),
            (b"\xed\xa0\x80", "???"),
            (b"\xe2\x82", "??"),
            (b"\xf0\x80\x80\x80", "????"),
            (b"\xf4\x90\x80\x80", "????"),
            (b"\xf5\x80\x80\x80", "????"),
            (b"", ""),
        ):
            self.assertEqual(readable(bad), clean)

    def test_what_is_too_much_is_cut_off_and_counted(self):
        told = answer(b"for _ in range(1000): write(b'0123456789')")
        head, _, tail = told["o"].partition("... (")
        self.assertTrue(len(head) > 4000 and head == ("0123456789" * 500)[: len(head)])
        self.assertEqual(tail, "%d bytes more)" % (10_000 - len(head)))
        for text in (
            b"write(b'\\0' * 9000)",
            b"write(b'\\xff' * 9000)",
            "for _ in range(100): write('é€😀'.encode() * 10)".encode(),
            b"'x' * 9000",
            b"'\"' * 9000",
            b"raise ValueError('e' * 9000)",
            b"write(b'\\1' * 9000) or '\\1' * 9000",
            b"write(b'\\1' * 9000)\nraise ValueError('\\1' * 9000)",
        ):
            answer(text)

    def test_a_retained_text_is_refused(self):
        bench, answers = ask(b"1", retained=True)
        self.assertEqual(answers, [])
        self.assertEqual(bench.repl._log.lines, ["refused the retained text on esp32/test/repl/in"])


if __name__ == "__main__":
    unittest.main()
