"""Tests the look at what waits in the socket while code lets nobody else run."""

import unittest

from commandbench import PREFIX, Bench
from fakes import run

import mqwire
from mqboard.repl import jobs
from mqboard.router import Request


class Waiting:
    """Stands in for the pump: `messages` wait in the socket."""

    busy = False

    def __init__(self, messages):
        self.messages = messages

    def ping(self):
        pass

    def peek(self, found):
        for topic, payload in self.messages:
            found(memoryview(topic), memoryview(payload))


def message(ident, tail, command=b"cancel"):
    topic = mqwire.command_topic(PREFIX, "x", "y").encode()[:-3]
    return topic + command + b"/" + ident + b"/" + tail, mqwire.header(0, True)


class LookTest(unittest.TestCase):
    def interrupts(self, *messages):
        """Return how often the code abcdefgh is interrupted that runs while these wait."""

        interrupts = []

        async def go():
            bench = Bench()
            bench.console.interrupt = lambda: interrupts.append(1)
            job = jobs.begin(bench, Request(bench.router, "exec", "abcdefgh", ""), "while True: 0")
            all_jobs = bench.router.jobs
            all_jobs.pump = Waiting(messages)
            all_jobs.inside = job
            for _ in range(3):
                all_jobs.look()
            jobs.end(bench, job)
            return len(interrupts)

        return run(go())

    def test_a_cancel_that_is_meant_for_the_code_interrupts_it_once(self):
        self.assertEqual(self.interrupts(message(b"11111111", b"abcdefgh")), 1)
        self.assertEqual(self.interrupts(message(b"11111111", b"bbbbbbbb")), 0)
        self.assertEqual(self.interrupts(message(b"11111111", b"abcdefgh", b"ping")), 0)

    def test_one_whose_topic_is_no_utf_8_harms_nothing_and_hides_no_other(self):
        wrong = message(b"\xff\xfe", b"\xc3(")
        self.assertEqual(self.interrupts(wrong), 0)
        self.assertEqual(self.interrupts(wrong, message(b"11111111", b"abcdefgh")), 1)


if __name__ == "__main__":
    unittest.main()
