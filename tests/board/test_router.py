"""Tests the router: commands in, replies out, with a publish that only records."""

import unittest

from commandbench import PREFIX, Bench
from fakes import run, until

import mqwire
from mqboard import router
from mqboard.router import MANAGEMENT, WORK


class RouterTest(unittest.TestCase):
    def test_a_retained_command_is_refused(self):
        async def go():
            bench = Bench().start()
            bench.send("eval", "abcdefgh", b"1", retained=True)
            self.assertIn("retained", bench.log.lines[0])
            await bench.eval(b"2", "22222222")
            self.assertEqual(len(bench.sent), 1)

        run(go())

    def test_a_repeated_id_is_answered_again_and_not_executed_again(self):
        async def go():
            bench = Bench().start()
            await bench.eval(b"count = globals().get('count', 0) + 1\nwrite(b'%d' % count)")
            bench.send("eval", "abcdefgh", b"raise ValueError")
            await until(lambda: len(bench.sent) == 2)
            self.assertEqual(bench.sent[0], bench.sent[1])

        run(go())

    def test_parts_are_put_together_and_duplicates_dropped(self):
        async def go():
            bench = Bench().start()
            for sequence, text, last in ((0, b"1", False), (0, b"1", False), (1, b"+1", True)):
                bench.send("eval", "abcdefgh", text, sequence, last)
            await until(lambda: bench.sent)
            self.assertEqual(bench.sent, [("reply/out/abcdefgh", b"\x80\x002")])

        run(go())

    def test_a_missing_part_is_an_error(self):
        async def go():
            bench = Bench().start()
            bench.send("eval", "abcdefgh", b"1", 0, False)
            bench.send("eval", "abcdefgh", b"2", 2, True)
            await until(lambda: bench.sent)
            self.assertIn(b"part 1 is missing", bench.sent[0][1])

        run(go())

    def test_a_command_whose_parts_end_midway_is_given_up(self):
        async def go():
            bench = Bench().start()
            bench.send("eval", "abcdefgh", b"#" * 4000, 0, False)
            for _ in range(3):
                bench.router.age()
            bench.send("eval", "abcdefgh", b"#" * 4000, 1, False)
            for _ in range(3):
                bench.router.age()
            self.assertEqual((len(bench.router._partial), bench.sent), (1, []))
            bench.router.age()
            self.assertEqual(bench.router._partial, [])
            await until(lambda: bench.sent)
            self.assertIn(b"part 2 did not come", bench.errors("abcdefgh")[0])
            bench.send("eval", "abcdefgh", b"1", 2, True)  # late: it has its answer
            bench.send("eval", "22222222", b"2")
            await until(lambda: bench.sent[-1][0] == "reply/out/22222222")
            self.assertEqual(len(bench.sent), 2)

        run(go())

    def test_a_command_that_is_too_long_is_an_error(self):
        async def go():
            bench = Bench().start()
            for sequence in range(5):
                bench.send("eval", "abcdefgh", b"#" * 4000, sequence, sequence == 4)
            await until(lambda: bench.sent)
            self.assertIn(b"longer than", bench.sent[0][1])
            self.assertEqual(len(bench.sent), 1)

        run(go())

    def test_a_command_is_as_long_as_all_its_parts_may_be_together(self):
        async def go():
            for size in (mqwire.MAX_BODY - 1, mqwire.MAX_BODY, mqwire.MAX_BODY + 1):
                bench = Bench().start()
                text = b"7" + b" " * (size - 1)
                step = mqwire.MAX_PAYLOAD - mqwire.HEADER_SIZE
                for start in range(0, size, step):
                    last = start + step >= size
                    bench.send("eval", "abcdefgh", text[start : start + step], start // step, last)
                await until(lambda bench=bench: bench.sent)
                topic, payload = bench.sent[0]
                self.assertEqual("err" in topic, size > mqwire.MAX_BODY, payload)

        run(go())

    def test_a_command_that_the_heap_does_not_hold_is_answered(self):
        class Full(bytearray):
            def extend(self, data):
                raise MemoryError

        async def go():
            bench = Bench().start()
            bench.send("eval", "abcdefgh", b"1", 0, False)
            bench.router._partial[0].body = Full(b"1")
            bench.send("eval", "abcdefgh", b"1", 1)
            await until(lambda: bench.sent)
            self.assertIn(b"MemoryError", bench.sent[0][1])
            self.assertEqual(bench.router._partial, [])

        run(go())

    def hungry(self, room, queue, parts=0):
        """Have a command run that finds no memory before there was `make_room`, which returns
        `room`; it replies `parts` times first. Return what was sent, and how often it was asked."""

        async def go():
            bench = Bench().start()
            asked = []

            def make_room():
                asked.append(1)
                return room

            async def hungry(request):
                for _ in range(parts):
                    await request.reply(b"part", last=False)
                if not (room and asked):
                    raise MemoryError
                await request.reply(bytes(request.body))

            bench.router.make_room = make_room
            bench.router.register("hungry", hungry, queue)
            bench.send("hungry", "abcdefgh", b"body")
            await until(lambda: len(bench.sent) > parts)
            return bench.sent[-1], len(asked)

        return run(go())

    def test_a_command_that_manages_finds_memory_at_the_cost_of_modules(self):
        (topic, payload), asked = self.hungry(True, MANAGEMENT)
        self.assertEqual((topic, payload[2:], asked), ("reply/out/abcdefgh", b"body", 1))

    def test_without_memory_in_the_end_it_is_an_error(self):
        for room, queue, parts, times in (
            (False, MANAGEMENT, 0, 1),
            (True, WORK, 0, 0),  # what is asked of eval may be too much by itself
            (True, MANAGEMENT, 1, 0),  # half a reply cannot be taken back
        ):
            (topic, payload), asked = self.hungry(room, queue, parts)
            self.assertEqual(topic, "reply/err/abcdefgh")
            self.assertIn(b"MemoryError", payload)
            self.assertEqual(asked, times)

    def starved(self, name, times, command):
        """Have `command` answered while the router's method `name` finds no memory `times` times;
        return what was sent."""

        async def go():
            bench = Bench().start()
            work = getattr(bench.router, name)

            def starving(*args):
                nonlocal times
                times -= 1
                if times >= 0:
                    raise MemoryError
                return work(*args)

            setattr(bench.router, name, starving)
            bench.router.register("fail", fail)
            bench.send(command, "abcdefgh", b"6*7")
            await until(lambda: bench.sent)
            return bench.sent

        async def fail(request):
            raise ValueError("no valve")

        pause, router._ROOM_S = router._ROOM_S, 0
        try:
            return run(go())
        finally:
            router._ROOM_S = pause

    def test_a_command_that_found_no_memory_is_taken_when_it_comes_again(self):
        async def go():
            bench = Bench().start()
            enqueue = bench.router._enqueue

            def full(request, queue):
                bench.router._enqueue = enqueue
                raise MemoryError

            bench.router._enqueue = full
            with self.assertRaises(MemoryError):
                bench.send("eval", "abcdefgh", b"6*7")
            await bench.eval(b"6*7")
            self.assertEqual(bench.sent, [("reply/out/abcdefgh", b"\x80\x0042")])

        run(go())

    def test_a_command_that_cannot_begin_for_want_of_memory_begins_later(self):
        self.assertEqual(self.starved("_serve", 3, "eval"), [("reply/out/abcdefgh", b"\x80\x0042")])

    def test_an_answer_for_which_there_is_no_memory_is_given_later(self):
        ((topic, text),) = self.starved("publish", 3, "fly")
        self.assertEqual(topic, "reply/err/abcdefgh")
        self.assertIn(b"'fly' not supported", text)

    def test_an_error_for_which_there_is_no_memory_is_given_later(self):
        ((topic, text),) = self.starved("publish", 3, "fail")
        self.assertEqual(topic, "reply/err/abcdefgh")
        self.assertIn(b"no valve", text)

    def test_an_unknown_command_and_a_headless_payload_are_errors(self):
        async def go():
            bench = Bench().start()
            bench.send("fly", "abcdefgh", b"")
            topic = mqwire.command_topic(PREFIX, "eval", "22222222")
            bench.router.on_message(topic, memoryview(b"1"), False)
            await until(lambda: len(bench.sent) == 2)
            self.assertIn(b"'fly' not supported", bench.sent[0][1])
            self.assertIn(b"header", bench.sent[1][1])

        run(go())

    def test_text_that_is_none_is_an_error_in_words(self):
        async def go():
            bench = Bench().start()
            bench.router.register("say", say)
            bench.send("say", "abcdefgh", b"\xff")
            await until(lambda: bench.sent)
            self.assertEqual(bench.sent[0][1], b"the command 'say' is no UTF-8")

        async def say(request):
            str(request.body, "utf-8")

        run(go())

    def test_management_does_not_wait_behind_work(self):
        async def go():
            bench = Bench().start()
            seen = []
            bench.router.expect_ping("12345678", lambda: seen.append(1))
            bench.send("slow", "aaaaaaaa", b"")
            bench.send("slow", "bbbbbbbb", b"")
            bench.send("ping", "12345678", b"")
            await until(lambda: seen)
            self.assertEqual(bench.ran, ["aaaaaaaa"])  # still at it, and the next one waits
            bench.gate.set()
            await until(lambda: len(bench.sent) == 3)

        run(go())

    def test_a_full_queue_says_busy_and_loses_nothing_else(self):
        async def go():
            bench = Bench().start()
            for number in range(12):
                bench.send("slow", "%08d" % number, b"")
            await until(lambda: bench.ran)
            bench.gate.set()
            await until(lambda: len(bench.sent) == 12)
            busy = [topic for topic, payload in bench.sent if payload.startswith(b"busy")]
            self.assertEqual(len(busy) + len(bench.ran), 12)
            self.assertTrue(busy)

        run(go())

    def test_our_own_ping_proves_the_whole_way(self):
        async def go():
            bench = Bench()
            seen = []
            bench.router.expect_ping("12345678", lambda: seen.append(1))
            for ident in ("87654321", "12345678"):
                bench.send("ping", ident, b"")
            self.assertEqual(seen, [])  # not before the queue has answered it
            bench.start()
            await until(lambda: seen)
            self.assertEqual(bench.sent[-1], ("reply/out/12345678", b"\x80\x00OK"))
            self.assertEqual(seen, [1])

        run(go())

    def test_overlong_names_are_no_commands(self):
        bench = Bench()
        bench.send("eval", "i" * 65, b"1")
        bench.send("c" * 65, "12345678", b"1")
        self.assertFalse(any(bench.router._queues))


if __name__ == "__main__":
    unittest.main()
