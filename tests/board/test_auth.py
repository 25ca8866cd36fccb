"""Tests that a board with a key takes only commands with a tag of it, each of them once."""

import hashlib
import json
import unittest

from commandbench import PREFIX, Bench
from fakes import run, until

import mqboard.auth
import mqwire
from mqboard.auth import Guard
from mqwire import auth

KEY = "a key that is random enough"
SENDERS = 32


class Sender:
    """A host with `key` that numbers what it sends to the board of `bench`."""

    def __init__(self, bench, name=b"operator", key=KEY):
        self.bench = bench
        self.name = name
        self.maker = auth.Maker(hashlib.sha256, key)
        self.number = 0
        self.nonce = bench.nonce()

    def sealed(self, topic, message):
        self.number += 1
        return message + self.maker.trailer(self.nonce, topic, message, self.name, self.number)

    def send(self, ident, text, command="eval", sequence=0, last=True):
        """Send one message; return it as it travelled."""
        topic = mqwire.command_topic(PREFIX, command, ident)
        message = topic, self.sealed(topic, mqwire.header(sequence, last) + text)
        self.bench.take(message)
        return message


class Guarded(Bench):
    """The bench of commands, with a guard before them."""

    def __init__(self):
        super().__init__()
        self.births = 0
        self.router.guard = self.guard = Guard(KEY, self.announce, self.log)

    def announce(self):
        self.births += 1

    def nonce(self):
        return bytes.fromhex(self.guard.facts()["nonce"])

    def take(self, message, retained=False):
        topic, payload = message
        self.router.on_message(topic, memoryview(payload), retained)

    async def answers(self, count=1):
        """Wait until so many messages were sent; return and forget them."""
        await until(lambda: len(self.sent) >= count)
        sent = self.sent[:]
        self.sent.clear()
        return sent


def refused(bench, ident):
    text = auth.NO_TAG + ": " + json.dumps(bench.guard.facts())
    return "reply/err/" + ident, text.encode()


def answer(ident, text):
    return "reply/out/" + ident, b"\x80\x00" + text


class TagTest(unittest.TestCase):
    def test_a_tag_is_the_half_of_an_hmac_over_all_that_it_is_good_for(self):
        # Made with CPython's hmac; a key as long as a block, and one that is longer.
        for key, tag in (
            ("k" * 64, "55c0b861"),
            ("k" * 65, "642b6eaa"),
        ):
            maker = auth.Maker(hashlib.sha256, key)
            made = maker.trailer(b"n" * 16, "a/küche/mqb", b"\x80\x00text", b"s" * 8, 258)
            self.assertEqual(made[:12], b"ssssssss\x00\x00\x01\x02")
            self.assertEqual(len(made), auth.TRAILER_SIZE)
            self.assertEqual(made[12:16].hex(), tag)

    def test_two_ends_see_by_a_name_whether_they_have_the_same_key(self):
        names = [auth.Maker(hashlib.sha256, key).name() for key in (KEY, KEY + "x", KEY)]
        self.assertEqual(names[0], names[2])
        self.assertTrue(names[0] != names[1])
        self.assertEqual(len(names[0]), 8)

    def test_bytes_are_the_same_or_not(self):
        self.assertTrue(auth.same(b"abc", memoryview(b"abc")))
        for other in (b"abd", b"xbc", b"ABC"):
            self.assertFalse(auth.same(b"abc", other))


class GuardTest(unittest.TestCase):
    def test_a_command_with_its_tag_is_executed(self):
        async def go():
            bench = Guarded().start()
            Sender(bench).send("aaaaaaaa", b"1+1")
            self.assertEqual(await bench.answers(), [answer("aaaaaaaa", b"2")])
            self.assertEqual(bench.log.lines, [])

        run(go())

    def test_one_without_a_tag_is_refused_and_logged(self):
        async def go():
            for text in (b"", b"write(b'x')", b"#" * 4000):
                bench = Guarded().start()
                bench.send("eval", "aaaaaaaa", text)
                self.assertEqual(await bench.answers(), [refused(bench, "aaaaaaaa")])
                self.assertIn("eval/aaaaaaaa refused: it has no tag", bench.log.lines[0])

        run(go())

    def test_a_changed_bit_anywhere_is_refused(self):
        async def go():
            bench = Guarded().start()
            sender = Sender(bench)
            topic = mqwire.command_topic(PREFIX, "eval", "aaaaaaaa")
            message = sender.sealed(topic, mqwire.header(0, True) + b"1+1")
            for index in range(len(message)):
                changed = bytearray(message)
                changed[index] ^= 1 << index % 8
                bench.take((topic, bytes(changed)))
            for size in range(len(message)):
                bench.take((topic, message[:size]))
            bench.take((topic, message + b"\0"))
            self.assertFalse(bench.guard.proven)
            bench.take((topic, message))  # as it was: nothing of all that has spoilt it
            await until(lambda: answer("aaaaaaaa", b"2") in bench.sent)
            self.assertTrue(bench.guard.proven)

        run(go())

    def test_a_tag_is_good_for_no_other_topic_key_or_boot(self):
        async def go():
            bench = Guarded().start()
            sender = Sender(bench)
            _, message = sender.send("aaaaaaaa", b"1+1")
            await bench.answers()
            for command, ident, tail in (
                ("slow", "aaaaaaaa", ""),
                ("eval", "bbbbbbbb", ""),
                ("eval", "aaaaaaaa", "tail"),
            ):
                bench.take((mqwire.command_topic(PREFIX, command, ident, tail), message))
                self.assertEqual(await bench.answers(), [refused(bench, ident)])
            # Another board with the same key, another prefix of the same length.
            there = Guarded().start()
            there.take((mqwire.command_topic(PREFIX, "eval", "aaaaaaaa"), message))
            self.assertEqual(await there.answers(), [refused(there, "aaaaaaaa")])
            other = mqwire.command_topic("esp32/tess", "eval", "cccccccc")
            message = sender.sealed(other, mqwire.header(0, True) + b"1+1")
            bench.take((mqwire.command_topic(PREFIX, "eval", "cccccccc"), message))
            self.assertEqual(await bench.answers(), [refused(bench, "cccccccc")])
            Sender(bench, key=KEY + "x").send("dddddddd", b"1+1")
            self.assertEqual(await bench.answers(), [refused(bench, "dddddddd")])

        run(go())

    def test_a_command_that_was_recorded_is_not_executed_again(self):
        async def go():
            bench = Guarded().start()
            sender = Sender(bench)
            recorded = sender.send("aaaaaaaa", b"write(b'x')")
            await bench.answers()
            for number in range(8):  # until the router has forgotten its id
                sender.send("bbbbbbb%d" % number, b"1")
                await bench.answers()
            bench.take(recorded)
            self.assertEqual(bench.log.lines, ["eval/aaaaaaaa refused: it was sent before"])
            sender.send("bbbbbbb8", b"1")
            self.assertEqual(await bench.answers(), [answer("bbbbbbb8", b"1")])

        run(go())

    def test_what_a_broker_sends_twice_is_dropped_and_is_no_error_to_its_sender(self):
        async def go():
            bench = Guarded().start()
            sender = Sender(bench)
            message = sender.send("aaaaaaaa", b"", "slow")
            bench.take(message)
            await until(lambda: bench.ran)
            bench.gate.set()
            self.assertEqual(await bench.answers(), [answer("aaaaaaaa", b"done")])
            self.assertIn("sent before", bench.log.lines[0])
            part = sender.send("bbbbbbbb", b"1", sequence=0, last=False)
            bench.take(part)
            sender.send("bbbbbbbb", b"+1", sequence=1)
            self.assertEqual(await bench.answers(), [answer("bbbbbbbb", b"2")])

        run(go())

    def test_a_part_that_somebody_slips_in_harms_no_command(self):
        async def go():
            bench = Guarded().start()
            sender = Sender(bench)
            sender.send("aaaaaaaa", b"1", sequence=0, last=False)
            bench.send("eval", "aaaaaaaa", b"+10", 1)
            for number in range(3):  # as many as would push it out
                bench.send("eval", "bbbbbbb%d" % number, b"1", 0, False)
            sender.send("aaaaaaaa", b"+1", sequence=1)
            await until(lambda: answer("aaaaaaaa", b"2") in bench.sent)

        run(go())

    def test_messages_may_come_in_another_order_but_each_once(self):
        async def go():
            bench = Guarded().start()
            sender = Sender(bench)
            topic = mqwire.command_topic(PREFIX, "nothing", "aaaaaaaa")
            messages = [sender.sealed(topic, b"\x80\x00") for _ in range(40)]
            taken = []
            for number in (1, 33, 2, 1, 33, 2, 0, 39, 8, 7, 38):
                payload = memoryview(messages[number])
                if bench.guard.admit(bench.router, "nothing", "aaaaaaaa", topic, payload):
                    taken.append(number)
            # 0 and 7 are too far behind by then.
            self.assertEqual(taken, [1, 33, 2, 39, 8, 38])

        run(go())

    def test_a_refused_command_takes_no_place_among_those_that_are_not_executed_again(self):
        async def go():
            bench = Guarded().start()
            bench.send("eval", "aaaaaaaa", b"1")
            await bench.answers()
            Sender(bench).send("aaaaaaaa", b"1+1")
            self.assertEqual(await bench.answers(), [answer("aaaaaaaa", b"2")])

        run(go())

    def test_a_retained_command_is_refused_however_right_its_tag(self):
        async def go():
            bench = Guarded().start()
            sender = Sender(bench)
            topic = mqwire.command_topic(PREFIX, "eval", "aaaaaaaa")
            bench.take((topic, sender.sealed(topic, b"\x80\x001+1")), retained=True)
            self.assertIn("retained", bench.log.lines[0])
            sender.send("bbbbbbbb", b"1+1")
            self.assertEqual(await bench.answers(), [answer("bbbbbbbb", b"2")])

        run(go())

    def test_a_message_that_is_only_looked_at_is_judged_and_not_noted(self):
        bench = Guarded()
        sender = Sender(bench)
        topic = mqwire.command_topic(PREFIX, "cancel", "aaaaaaaa")
        message = memoryview(sender.sealed(topic, b"\x80\x00all"))
        for _ in range(2):
            self.assertEqual(bytes(bench.guard.peek(topic, message)), b"\x80\x00all")
        self.assertFalse(bench.guard.proven)
        self.assertTrue(bench.guard.admit(bench.router, "cancel", "aaaaaaaa", topic, message))
        other = bytes(message[:-1]) + bytes([message[-1] ^ 1])
        for wrong in (message, memoryview(b"\x80\x00all"), memoryview(other)):
            self.assertEqual(bench.guard.peek(topic, wrong), None)
        self.assertEqual(bench.log.lines, [])

    def test_a_command_for_which_there_is_no_memory_comes_again_and_room_is_made(self):
        for starving in ("guard.admit", "router._collect", "router._enqueue"):
            self.starve(starving)

    def starve(self, starving):
        async def go():
            bench = Guarded().start()
            asked = []
            bench.router.make_room = lambda: asked.append(1)
            where, name = starving.split(".")
            owner = getattr(bench, where)
            work = getattr(owner, name)

            def full(*_):
                setattr(owner, name, work)
                raise MemoryError

            setattr(owner, name, full)
            sender = Sender(bench)
            topic = mqwire.command_topic(PREFIX, "eval", "aaaaaaaa")
            message = topic, sender.sealed(topic, mqwire.header(0, True) + b"1+1")
            with self.assertRaises(MemoryError):  # by which the broker sends it again
                bench.take(message)
            self.assertEqual((asked, bench.sent), ([1], []))
            bench.take(message)
            bench.take(message)
            self.assertEqual(await bench.answers(), [answer("aaaaaaaa", b"2")])
            self.assertEqual(bench.log.lines, ["eval/aaaaaaaa refused: it was sent before"])

        run(go())

    def test_what_is_taken_back_of_the_numbers_is_the_last_one_only(self):
        bench = Guarded()
        sender = Sender(bench)
        topic = mqwire.command_topic(PREFIX, "nothing", "aaaaaaaa")
        messages = [memoryview(sender.sealed(topic, b"\x80\x00")) for _ in range(20)]

        def admit(number):
            arguments = bench.router, "nothing", "aaaaaaaa", topic, messages[number]
            return bench.guard.admit(*arguments) is not None

        for number in (0, 9, 19, 2):
            self.assertTrue(admit(number))
            bench.guard.release()
            bench.guard.release()
            self.assertTrue(admit(number))
            self.assertFalse(admit(number))
            bench.guard.release()  # of one that was not noted
            self.assertFalse(admit(number))
        self.assertEqual([number for number in (0, 1, 2, 3, 9, 19) if admit(number)], [1, 3])


class SendersTest(unittest.TestCase):
    def test_operators_send_at_once_each_in_an_order_of_its_own(self):
        async def go():
            bench = Guarded().start()
            one, two = Sender(bench, b"oneoneon"), Sender(bench, b"twotwotw")
            for number in range(6):
                (one, two)[number % 2].send("aaaaaaa%d" % number, b"1+1")
                self.assertEqual(await bench.answers(), [answer("aaaaaaa%d" % number, b"2")])

        run(go())

    def test_with_too_many_senders_the_nonce_is_drawn_anew_and_nothing_is_taken_twice(self):
        async def go():
            bench = Guarded().start()
            first = bench.nonce()
            senders = [Sender(bench, b"sender%02d" % number) for number in range(SENDERS)]
            recorded = []
            for number in range(SENDERS - 1):  # and the board itself
                self.assertEqual((bench.births, bench.nonce()), (0, first))
                recorded.append(senders[number].send("aaaaaa%02d" % number, b"1+1"))
                self.assertEqual(len(await bench.answers()), 1)
            self.assertEqual(bench.births, 1)
            self.assertTrue(bench.nonce() != first)
            # Those that it knows go on, others have to take the new one.
            senders[0].send("bbbbbbbb", b"1+1")
            self.assertEqual(await bench.answers(), [answer("bbbbbbbb", b"2")])
            senders[-1].send("cccccccc", b"1+1")
            self.assertEqual(await bench.answers(), [refused(bench, "cccccccc")])
            senders[-1].nonce = bench.nonce()
            senders[-1].send("cccccccc", b"1+1")
            self.assertEqual(await bench.answers(), [answer("cccccccc", b"2")])
            for message in recorded:
                bench.guard._budget = 1
                bench.take(message)
                self.assertIn("sent before", bench.log.lines[-1])
            self.assertEqual(bench.sent, [])
            # After another round they are of a nonce that is not known any more.
            for number in range(SENDERS - 2):
                again = Sender(bench, b"again %02d" % number)
                again.send("dddddd%02d" % number, b"1+1")
                await bench.answers()
            self.assertEqual(bench.births, 2)
            for message in recorded:
                bench.guard._budget = 1
                bench.take(message)
                ((_, why),) = await bench.answers()
                self.assertEqual(why[: len(auth.NO_TAG)], auth.NO_TAG.encode())

        run(go())

    def test_our_own_ping_is_let_through_before_and_after_that(self):
        async def go():
            bench = Guarded().start()
            topic = mqwire.command_topic(PREFIX, "ping", "aaaaaaaa")
            on_its_way = bench.guard.sealed(topic, b"\x80\x00")
            for number in range(SENDERS - 1):
                Sender(bench, b"sender%02d" % number).send("aaaaaa%02d" % number, b"1")
                await bench.answers()
            self.assertEqual(bench.births, 1)
            bench.take((topic, on_its_way))
            self.assertEqual(await bench.answers(), [answer("aaaaaaaa", b"OK")])
            topic = mqwire.command_topic(PREFIX, "ping", "bbbbbbbb")
            bench.take((topic, bench.guard.sealed(topic, b"\x80\x00")))
            self.assertEqual(await bench.answers(), [answer("bbbbbbbb", b"OK")])

        run(go())

    def test_our_own_ping_proves_nothing_of_others(self):
        async def go():
            bench = Guarded().start()
            topic = mqwire.command_topic(PREFIX, "ping", "aaaaaaaa")
            bench.take((topic, bench.guard.sealed(topic, b"\x80\x00")))
            await bench.answers()
            self.assertFalse(bench.guard.proven)

        run(go())


class FloodTest(unittest.TestCase):
    def test_a_flood_is_told_now_and_then_and_locks_nobody_out(self):
        async def go():
            bench = Guarded().start()
            now = [0]
            real = mqboard.auth.ticks_ms
            mqboard.auth.ticks_ms = lambda: now[0]
            try:
                bench.guard._told_at = 0
                for number in range(500):
                    bench.send("eval", "%08d" % number, b"1")
                self.assertEqual(len(bench.log.lines), 8)
                Sender(bench).send("aaaaaaaa", b"1+1")
                await until(lambda: answer("aaaaaaaa", b"2") in bench.sent)
                self.assertTrue(len(bench.sent) <= 9)
                now[0] += 2000
                for number in range(10):
                    bench.send("eval", "%08d" % number, b"1")
                self.assertEqual(len(bench.log.lines), 9)
                self.assertIn("(and 492 others)", bench.log.lines[-1])
            finally:
                mqboard.auth.ticks_ms = real

        run(go())


if __name__ == "__main__":
    unittest.main()
