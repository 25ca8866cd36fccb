"""Tests what the MQTT 5 client takes, and at what it hangs up, saying why.

The numbers are those of the conformance statements in appendix B of the standard.
"""

import asyncio
import unittest

from fakes import run, until
from mqtt5peer import Peer5, connack, frame, publish, text

from mqboard.mqtt.pump import Pump
from mqboard.mqtt5 import properties as props

GIVEN = {
    props.CONTENT_TYPE: "application/json",
    props.CORRELATION_DATA: b"\1\2",
    props.USER: [("k", "1"), ("k", "2")],
    props.SUBSCRIPTION_ID: [7],
}


def encoded(number):
    """Return the properties GIVEN of a message, with one more user property."""
    given = dict(GIVEN)
    given[props.SUBSCRIPTION_ID] = number
    return given


class ReceiveTest(unittest.TestCase):
    def test_a_handler_gets_properties_if_it_wants_them(self):
        async def go():
            for wants, more in ((False, ()), (True, (GIVEN,))):
                peer = Peer5()
                await peer.start()
                await peer.subscribed(properties=wants)
                data = publish("a/b", b"hi", 1, 7, 1, encoded(7))
                for chunk in (None, 1):
                    peer.stream.chunk = chunk
                    peer.stream.feed(data)
                    await until(lambda p=peer: len(p.got) == 1)
                    self.assertEqual(peer.got.pop(), ("a/b", b"hi", True) + more)
                await until(lambda p=peer: p.sent()[-2:] == [(0x40, b"\0\7")] * 2)
                peer.task.cancel()

        run(go())

    def test_a_message_without_properties_has_none(self):
        async def go():
            peer = Peer5()
            await peer.start()
            await peer.subscribed(properties=True)
            for payload in (b"", b"\0"):
                peer.stream.feed(publish("a", payload, given=encoded(7)) + publish("a", payload))
                await until(lambda: len(peer.got) == 2)
                self.assertEqual(
                    peer.got, [("a", payload, False, GIVEN), ("a", payload, False, None)]
                )
                peer.got.clear()

        run(go())

    def test_a_coroutine_and_an_iterator_get_those_of_their_message(self):
        async def go():
            peer = Peer5()
            await peer.start()

            async def handle(topic, payload, retained, given):
                await asyncio.sleep(0)
                peer.got.append((topic, payload, given))

            peer.handler, plain = handle, peer.handler
            await peer.subscribed("a", properties=True)
            peer.handler = plain

            async def iterate():
                async with peer.client.messages("b", properties=True) as messages:
                    async for topic, payload, _, given in messages:
                        peer.got.append((topic, payload, given))

            task = asyncio.create_task(iterate())
            await peer.packets(2)
            peer.stream.feed(frame(0x90, peer.sent()[1][1][:2] + b"\0\1"))
            both = [
                publish(topic, b"%d" % n, given={3: "%d" % n}) for n in (1, 2) for topic in "ab"
            ]
            peer.stream.feed(b"".join(both) + publish("a", b"3"))
            await until(lambda: len(peer.got) == 5)
            for topic in "ab":
                got = [(payload, given) for name, payload, given in peer.got if name == topic]
                self.assertEqual(got[:2], [(b"1", {3: "1"}), (b"2", {3: "2"})])
            self.assertIn(("a", b"3", None), peer.got)
            task.cancel()

        run(go())

    def test_a_stream_gets_them_with_each_piece(self):
        async def go():
            peer = Peer5(rx_size=256)
            await peer.start()
            pieces = []

            def take(topic, piece, retained, position, total, given):
                pieces.append((bytes(piece), position, total, given))

            peer.handler = take
            await peer.subscribed(stream=True, properties=True)
            data = b"".join([bytes((n & 255,)) for n in range(700)])
            for chunk in (None, 1, 7):
                peer.stream.chunk = chunk
                peer.stream.feed(publish("a", data, given={3: "x"}) + publish("a", b"small"))
                await until(lambda: sum([len(each[0]) for each in pieces]) == 705, 10)
                self.assertEqual(b"".join([each[0] for each in pieces]), data + b"small")
                self.assertEqual({each[3][3] for each in pieces if each[2] == 700}, {"x"})
                self.assertIsNone(pieces[-1][3])
                pieces.clear()

        run(go(), 20)

    def test_what_the_buffer_cannot_hold_is_passed_over_and_acknowledged(self):
        async def go():
            peer = Peer5(rx_size=256)
            await peer.start()
            await peer.subscribed(properties=True)
            for chunk in (None, 1):
                peer.stream.chunk = chunk
                for size in (200, 230, 246, 247, 250, 255, 300, 5000):
                    before = len(peer.sent())
                    given = {props.CORRELATION_DATA: bytes(size)}
                    peer.stream.feed(publish("a", b"p" * 100, 1, size, 0, given))
                    peer.stream.feed(publish("a/" + "t" * size, b"p" * 99, 2, size))
                    peer.stream.feed(publish("a", b"after"))
                    await until(lambda: peer.got and peer.got[-1][1] == b"after", 10)
                    await until(lambda n=before: len(peer.sent()) == n + 2)
                    kinds = [first for first, _ in peer.sent()[before:]]
                    self.assertEqual(kinds, [0x40, 0x50])
                    peer.stream.feed(frame(0x62, size.to_bytes(2, "big")))
                    await until(lambda n=before: len(peer.sent()) == n + 3)
                    peer.got.clear()
            self.assertEqual(len(peer.streams), 1)

        run(go(), 30)

    def test_qos_2_is_delivered_once_with_reasons(self):
        async def go():
            peer = Peer5()
            await peer.start()
            await peer.subscribed()
            peer.stream.feed(publish("a", b"1", 2, 7) + publish("a", b"1", 2, 7, 8))
            packets = await peer.packets(3)
            self.assertEqual(packets[1:], [(0x50, b"\0\7")] * 2)
            peer.stream.feed(frame(0x62, b"\0\7\x92\0"))
            self.assertEqual((await peer.packets(4))[3], (0x70, b"\0\7"))
            self.assertEqual(len(peer.got), 1)

        run(go())

    def test_shared_subscriptions_get_what_their_filter_matches(self):
        async def go():
            peer = Peer5()
            await peer.start()
            await peer.subscribed("$share/group/a/+")
            peer.stream.feed(publish("a/b", b"1") + publish("b", b"2") + publish("a/c", b"3"))
            await until(lambda: len(peer.got) == 2)
            self.assertEqual([payload for _, payload, _ in peer.got], [b"1", b"3"])

        run(go())

    def test_code_that_does_not_await_looks_and_publishes(self):
        async def go():
            peer = Peer5()
            await peer.start()
            await peer.subscribed("a", properties=True)
            pump = Pump(peer.client)
            found = []
            peer.stream.feed(publish("a", b"one", 1, 3, 0, {3: "x"}) + publish("a", b"two"))
            pump.peek(lambda topic, payload: found.append((bytes(topic), bytes(payload))))
            self.assertEqual(found, [(b"a", b"one"), (b"a", b"two")])
            pump.take(0)
            self.assertEqual([each[3] for each in peer.got], [{3: "x"}, None])
            pump.publish("out", b"!")
            self.assertEqual(peer.sent()[-1], (0x30, text("out") + b"\0!"))

        run(go())


class AliasTest(unittest.TestCase):
    def test_an_alias_stands_for_the_topic_it_came_with_last(self):
        async def go():
            peer = Peer5()
            await peer.start()
            await peer.subscribed("#", properties=True)
            for topic, alias in (("a", 1), ("b", 2), ("", 1), ("", 2), ("c", 1), ("", 1), ("", 1)):
                peer.stream.feed(publish(topic, b"", given={props.TOPIC_ALIAS: alias}))
            peer.stream.feed(publish("d", b""))
            await until(lambda: len(peer.got) == 8)
            self.assertEqual("".join([each[0] for each in peer.got]), "ababcccd")
            self.assertEqual(peer.got[0][3], {})

        run(go())

    def test_aliases_that_nobody_told_us_end_the_connection(self):
        # MQTT-3.3.2-10, MQTT-3.1.2-26
        async def go():
            for topic, alias, code in (("", 1, 0x94), ("a", 3, 0x94), ("", None, 0x82)):
                peer = Peer5(properties={props.TOPIC_ALIAS_MAXIMUM: 2})
                await peer.start()
                given = None if alias is None else {props.TOPIC_ALIAS: alias}
                peer.stream.feed(publish(topic, b"", given=given))
                await until(lambda p=peer: len(p.streams) == 2)
                self.assertEqual(peer.streams[0].sent[-3:], bytes((0xE0, 1, code)))
                peer.task.cancel()

        run(go())

    def test_the_next_connection_knows_none_of_them(self):
        # MQTT-3.3.2-7
        async def go():
            peer = Peer5()
            await peer.start()
            peer.stream.feed(publish("a", b"", given={props.TOPIC_ALIAS: 1}))
            peer.stream.end()
            await until(lambda: len(peer.streams) == 2)
            await peer.client.up.wait()
            peer.stream.feed(publish("", b"", given={props.TOPIC_ALIAS: 1}))
            await until(lambda: len(peer.streams) == 3)

        run(go())


class FaultTest(unittest.TestCase):
    def test_we_hang_up_at_packets_that_are_none_and_say_why(self):
        async def go():
            for data, code in (
                (frame(0x36, text("a") + b"\0\1\0"), 0x81),  # MQTT-3.3.1-4: QoS 3
                (frame(0x38, text("a") + b"\0"), 0x81),  # MQTT-3.3.1-2: DUP at QoS 0
                (frame(0x30, text("a")), 0x81),
                (frame(0x30, text("a") + b"\5"), 0x81),
                (frame(0x32, text("a") + b"\0\1"), 0x81),
                (frame(0x30, b"\0\5a"), 0x81),
                (frame(0x30, b"\0"), 0x81),
                (frame(0x30, text("a") + b"\3\x21\0\1"), 0x81),
                (frame(0x30, text("a") + b"\4\1\0\1\0"), 0x82),
                (frame(0x40, b"\0"), 0x81),
                (frame(0x40, b"\0\0\0"), 0x81),
                (frame(0x40, b"\0\1\0\1"), 0x81),
                (frame(0x40, b"\0\1\0\0\0"), 0x81),
                (frame(0x50, b"\0\0\0"), 0x81),
                (frame(0x90, b"\0\1\0"), 0x82),
                (frame(0x90, b"\0\1\0\1\1"), 0x82),
                (frame(0xB0, b"\0\1"), 0x81),
                (frame(0xC0), 0x82),
                (frame(0x10, b"\0\1"), 0x82),
                (frame(0xF0, b"\x18\0"), 0x82),  # we asked for no authentication
                (frame(0xD0, b"\0\1"), 0x82),
                (frame(0xE0, b"\0\3\x24\0"), 0x81),
                (frame(0x20, b"\0\0\0"), 0x82),
            ):
                peer = Peer5()
                await peer.start()
                peer.stream.feed(data)
                await until(lambda p=peer: len(p.streams) == 2)
                self.assertEqual(bytes(peer.streams[0].sent[-3:]), bytes((0xE0, 1, code)), data)
                peer.task.cancel()

        run(go(), 60)

    def test_the_broker_keeps_to_our_receive_maximum(self):
        # MQTT-3.3.4-7
        async def go():
            peer = Peer5(properties={props.RECEIVE_MAXIMUM: 2})
            await peer.start()
            peer.stream.feed(b"".join([publish("a", b"", 2, 1 + n) for n in range(3)]))
            await until(lambda: len(peer.streams) == 2)
            self.assertEqual(bytes(peer.streams[0].sent[-3:]), b"\xe0\1\x93")

        run(go())

    def test_garbage_never_stops_the_client(self):
        async def go():
            peer = Peer5(answers=connack(given={props.RECEIVE_MAXIMUM: 5}))
            await peer.start()
            for junk in (
                b"\xff\xff\xff\xff\xff",
                b"\x30\xff\xff\xff\x7f",
                b"\x32\x03\0\5a",
                b"\0\0",
            ):
                count = len(peer.streams)
                peer.stream.feed(junk + bytes(300))
                await until(lambda n=count: len(peer.streams) == n + 1)
                await peer.client.up.wait()

        run(go(), 30)


if __name__ == "__main__":
    unittest.main()
