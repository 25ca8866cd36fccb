"""Tests the log: what is kept, dropped and published, and that no log call can do harm."""

import asyncio
import os
import sys
import unittest

from fakes import run, until

from mqboard import log
from mqboard.log import Console, Logger
from mqwire.log import parse


class Publisher:
    """Publishes the lines of `console` into `lines`, once it is `up`."""

    def __init__(self, console):
        self.lines = []
        self.up = asyncio.Event()
        self.up.set()
        self.works = True
        self.on_line = None
        self.task = asyncio.create_task(console.run(self.publish, self.up))

    async def publish(self, line):
        if self.works:
            self.lines.append(str(bytes(line), "utf-8"))
            if self.on_line:
                self.on_line(line)
        return self.works


class Clock:
    """mqboard.timeofday.Clock, as far as the log knows it."""

    time = "12.345"

    def stamp(self):
        return self.time


class LogTest(unittest.TestCase):
    """Has what loggers print go into the console, as os.dupterm does on a board."""

    def setUp(self):
        self.console = Logger.console = Console()
        Logger.clock = Clock()
        self.kept = Logger.levels
        Logger.levels = {}
        log._print = self.print
        self.log = Logger("test")

    def tearDown(self):
        log._print = print
        Logger.console = Logger.clock = None
        Logger.levels = self.kept
        log.set_levels("info", {})

    def print(self, text):
        self.console.write(text.encode() + b"\n")

    def published(self):
        """Publish what the console has, and return it."""

        async def go():
            publisher = Publisher(self.console)
            await until(lambda: not self.console.lines and not self.console.dropped)
            publisher.task.cancel()
            return publisher.lines

        return run(go())

    def messages(self):
        """Publish what the console has, and return the messages in it."""
        return [(parse(line) or (None, None, None, line))[3] for line in self.published()]


class LinesTest(LogTest):
    def test_lines_are_cut_kept_and_published(self):
        async def go():
            publisher = Publisher(self.console)
            self.console.write(b"one\ntw")
            self.console.write(b"o\r\n\nthree")
            await until(lambda: len(publisher.lines) == 2)
            self.console.write(b"\n")
            await until(lambda: len(publisher.lines) == 3)
            self.assertEqual(publisher.lines, ["one", "two", "three"])
            publisher.task.cancel()

        run(go())

    def test_endless_lines_stay_bounded_and_long_ones_say_that_they_were_cut(self):
        for _ in range(100):
            self.console.write(b"x" * 1000)
        self.assertTrue(len(self.console._part) <= 241)
        self.console.write(b"\n" + b"y" * 240 + b"\n" + b"z" * 241 + b"\n")
        self.assertEqual(self.published(), ["x" * 237 + "...", "y" * 240, "z" * 237 + "..."])

    def test_a_line_of_a_logger_says_level_time_and_logger(self):
        self.log.warning("%d of %s", 3, "five")
        (line,) = self.published()
        level, time, name, message = parse(line)
        self.assertEqual((level, time, name, message), ("warning", "12.345", "test", "3 of five"))
        self.assertEqual(line, "W 12.345 test: 3 of five")

    def test_a_line_of_a_logger_ends_what_was_begun(self):
        self.console.write(b"12 %")
        self.log.info("hello")
        self.console.write(b"\n")
        self.assertEqual(self.messages(), ["12 %", "hello"])

    def test_ctrl_c_in_the_middle_of_a_write_breaks_in_behind_it(self):
        class Os:
            terminals = []
            notified = []
            dupterm = terminals.append
            dupterm_notify = notified.append

        def interrupted(line):
            raise KeyboardInterrupt

        log.os = Os
        try:
            self.console.on_line = interrupted
            self.assertEqual(self.console.write(b"one\n"), 4)
        finally:
            log.os = os
        self.assertEqual(Os.terminals, [self.console])  # it may have been taken away
        self.assertEqual(Os.notified, [self.console])
        data = bytearray(1)
        self.assertEqual((self.console.readinto(data), data), (1, b"\x03"))
        self.assertEqual(self.console.readinto(data), None)

    def test_each_line_is_told_to_who_keeps_the_last_ones(self):
        told = []
        self.console.on_line = told.append
        self.console.write(b"one\ntwo")
        self.assertEqual(told, [b"one"])


class RingTest(LogTest):
    def test_a_full_ring_drops_the_oldest_of_the_lowest_level_and_says_how_many(self):
        Logger.level = 0
        self.published()
        self.console._boot_room = 0  # as after the first connection
        for number in range(20):
            self.log.error("error %d", number)
            for _ in range(50):
                self.log.debug("d")
            self.log.info("info %d", number)
        dropped = self.console.dropped
        messages = self.messages()
        self.assertTrue(dropped > 900)
        self.assertEqual(messages[0], "%d lines dropped" % dropped)
        expected = []
        for number in range(20):
            expected += ["error %d" % number, "info %d" % number]
        left = [message for message in messages[1:] if message != "d"]
        self.assertEqual(left, expected)
        self.assertEqual(len(messages) - 1, 20 * 52 - dropped)

    def test_the_first_lines_of_a_boot_are_kept_until_there_is_a_connection(self):
        Logger.level = 0
        for number in range(10):
            self.log.debug("boot %d", number)
        for number in range(300):
            self.log.error("error %d", number)
        messages = self.messages()
        self.assertEqual(messages[:10], ["boot %d" % number for number in range(10)])
        self.assertEqual(messages[-1], "error 299")
        self.assertTrue(any([message.endswith("lines dropped") for message in messages]))
        for number in range(300):
            self.log.error("again %d", number)
        messages = self.messages()
        self.assertTrue(messages[0].endswith("lines dropped"))
        self.assertTrue(messages[1].startswith("again") and messages[1] != "again 0")

    def test_the_lines_of_a_traceback_stay_with_their_error(self):
        print_exception = log.sys.print_exception
        log.sys = FakeSys(self.console)
        try:
            self.log.exception(ValueError("why"), "it failed")
        finally:
            log.sys = __import__("sys")
        self.assertTrue(log.sys.print_exception is print_exception)
        for _ in range(200):
            self.log.info("more and more")
        messages = self.messages()
        for line in ("it failed", "Traceback", "ValueError: why"):
            self.assertIn(line, messages)

    def test_what_was_dropped_in_an_outage_is_not_sent_after_it(self):
        async def go():
            publisher = Publisher(self.console)
            self.log.info("before")
            await until(lambda: publisher.lines)
            publisher.up.clear()
            for number in range(300):
                self.log.info("line %d", number)
                if number == 100:
                    await asyncio.sleep(0)
            self.assertEqual(len(publisher.lines), 1)
            publisher.up.set()
            await until(lambda: publisher.lines[-1].endswith("line 299"))
            kept = len(publisher.lines) - 2
            self.assertIn("%d lines dropped" % (300 - kept), publisher.lines[1])
            self.assertTrue(publisher.lines[2].endswith("line %d" % (300 - kept)))
            publisher.task.cancel()

        run(go())

    def test_a_flood_is_told_of_in_few_lines(self):
        async def go():
            publisher = Publisher(self.console)
            for number in range(2000):
                self.console.write(b"line %d\n" % number)
                if number % 20 == 0:
                    await asyncio.sleep(0)
            await until(lambda: publisher.lines[-1] == "line 1999")
            told = [parse(line)[3] for line in publisher.lines if line.startswith("W")]
            lost = sum([int(message.split()[0]) for message in told])
            self.assertEqual(lost, 2000 - len(publisher.lines) + len(told))
            self.assertTrue(lost > 500 and len(told) <= lost // 50 + 1)
            publisher.task.cancel()

        run(go())

    def test_counting_that_was_upset_is_right_again(self):
        self.console._size = 100_000
        self.console._pinned = 5
        self.log.info("one")
        self.assertEqual(self.console.dropped, 1)
        self.log.info("two")
        self.published()
        self.assertEqual(self.console._size, 0)
        self.log.info("three")
        self.assertEqual(self.messages(), ["three"])

    def test_short_lines_do_not_fill_the_heap(self):
        self.console.write(b"x\n" * 3000)
        self.assertTrue(len(self.console.lines) < 150)
        self.assertEqual(self.console.dropped + len(self.console.lines), 3000)


class FakeSys:
    """Prints exceptions into the console."""

    def __init__(self, console):
        self._console = console

    def print_exception(self, error):
        self._console.write(b"Traceback\n%s: %s\n" % (b"ValueError", str(error).encode()))


class LevelsTest(LogTest):
    def test_what_is_below_the_level_is_not_even_formatted(self):
        self.log.debug("%s", Nasty())
        self.log.info("shown")
        log.set_levels("error", {})
        self.log.warning("not shown")
        self.assertEqual(self.messages(), ["shown"])

    def test_a_logger_may_have_a_level_of_its_own(self):
        log.set_levels("warning", {"other": "debug", "third": "info"})
        Logger("other").debug("shown")
        Logger("third").debug("not shown")
        Logger("third").info("shown, too")
        self.log.info("not shown")
        log.set_levels("info", {})
        Logger("other").debug("not shown")
        self.assertEqual(self.messages(), ["shown", "shown, too"])

    def test_loggers_beyond_so_many_follow_the_default(self):
        for number in range(50):
            Logger("logger %d" % number).info("hi")
        self.assertEqual(len(Logger.levels), 32)
        self.assertEqual(self.messages(), ["hi"] * 50)


class Nasty:
    """Raises when it is shown."""

    def __init__(self, error=ValueError):
        self.error = error

    def __str__(self):
        raise self.error("no")

    __repr__ = __str__


class HarmlessTest(LogTest):
    def test_what_cannot_be_formatted_is_logged_all_the_same(self):
        self.log.info("%d and %d", 1)
        self.log.info("%d", "one")
        self.log.info("100%", 1)
        self.log.info("of %s", Nasty())
        self.log.info(Nasty())
        self.log.info(5)
        self.log.info(None)
        messages = self.messages()
        self.assertEqual(len(messages), 7)
        self.assertIn("in a log call: %d and %d", messages[0])
        self.assertIn("TypeError in a log call: %d", messages[1])
        self.assertIn("in a log call: 100%", messages[2])
        self.assertEqual(messages[3:], ["ValueError in a log call: of %s"] + messages[4:])
        self.assertEqual(messages[4:], ["ValueError in a log call", "5", "None"])

    def test_want_of_memory_is_counted(self):
        def full(text):
            raise MemoryError

        log._print = full
        self.log.info("lost")
        self.log.exception(ValueError(), "lost")
        self.assertEqual(self.console.dropped >= 2, True)
        log._print = self.print
        self.assertIn("lines dropped", self.published()[0])

    def test_an_object_that_logs_while_it_is_shown_ends(self):
        test = self
        # CPython 3.11 is not quite itself any more after it recursed too deep.
        left = 10_000 if sys.implementation.name == "micropython" else 20

        class Endless:
            def __str__(self):
                nonlocal left
                left -= 1
                if left:
                    test.log.info("%s", self)
                return "endless"

        self.log.info("%s", Endless())
        self.assertTrue(self.console.dropped + len(self.console.lines) > 0)
        self.assertTrue(self.console._size <= 4096)

    def test_an_exception_that_cannot_be_shown_is_no_other_one(self):
        class Ugly(Exception):
            __str__ = __repr__ = Nasty.__str__
            error = ValueError

        self.log.exception(Ugly(), "it failed")
        self.assertIn("it failed", self.messages())

    def test_a_socket_that_takes_nothing_holds_up_nobody(self):
        async def go():
            async def never(line):
                await asyncio.Event().wait()

            up = asyncio.Event()
            up.set()
            task = asyncio.create_task(self.console.run(never, up))
            for number in range(500):
                self.log.info("line %d", number)
                if number % 100 == 0:
                    await asyncio.sleep(0)
            self.assertTrue(self.console._size <= 4096)
            task.cancel()

        run(go())

    def test_a_line_for_each_line_that_is_published_leaves_others_their_turn(self):
        async def go():
            publisher = Publisher(self.console)
            publisher.on_line = lambda line: self.log.info("published")
            self.log.info("the first")
            for _ in range(100):
                await asyncio.sleep(0)
            self.assertTrue(len(publisher.lines) > 10)
            self.assertTrue(len(self.console.lines) <= 2)
            publisher.task.cancel()

        run(go())

    def test_nothing_is_lost_while_there_is_no_connection(self):
        async def go():
            publisher = Publisher(self.console)
            publisher.works = False  # the connection is about to be lost
            self.log.info("one")
            await asyncio.sleep(0)
            publisher.up.clear()
            self.log.info("two")
            await asyncio.sleep(0)
            publisher.works = True
            await asyncio.sleep(0)
            self.assertEqual(publisher.lines, [])
            publisher.up.set()
            await until(lambda: len(publisher.lines) == 2)
            self.assertTrue(publisher.lines[0].endswith("one"))
            publisher.task.cancel()

        run(go())


class CaptureTest(LogTest):
    def test_loggers_do_not_print_into_an_evals_answer(self):
        captured = []
        self.console.capture = captured.append
        self.console.write(b"mine")
        self.log.info("hello")
        self.console.write(b"too")
        self.console.capture = None
        self.assertEqual(captured, [b"mine", b"too"])
        self.assertEqual(self.messages(), ["hello"])

    def test_another_threads_output_goes_to_the_log(self):
        captured = []
        self.console.capture = captured.append
        get_ident = log.get_ident
        log.get_ident = lambda: -1
        try:
            self.console.write(b"a thread's\n")
            self.log.info("hello")
        finally:
            log.get_ident = get_ident
        self.assertEqual(captured, [])
        self.assertTrue(self.console.capture is not None)
        self.assertEqual(self.messages(), ["a thread's", "hello"])


class FormatTest(unittest.TestCase):
    def test_lines_are_taken_apart(self):
        for line, parts in (
            ("I 12.345 mqtt: up: 3", ("info", "12.345", "mqtt", "up: 3")),
            ("D 2026-05-01T12:00:00Z a b: ", ("debug", "2026-05-01T12:00:00Z", "a b", "")),
            ("E 1234 board: x", ("error", "1234", "board", "x")),
            ("I 11175     main: Logging to a/b", ("info", "11175", "main", "Logging to a/b")),
        ):
            self.assertEqual(parse(line), parts)

    def test_what_is_printed_is_none_of_them(self):
        lines = ("", "I", "I ", "hello", "I am: here", "X 1 a: b", "I 1 a", "DI 1 a: b", " 1 a: b")
        for line in lines:
            self.assertIsNone(parse(line))


if __name__ == "__main__":
    unittest.main()
