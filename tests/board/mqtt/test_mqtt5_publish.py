"""Tests what the MQTT 5 client sends: properties, aliases, limits of the broker, and its reasons.

The numbers are those of the conformance statements in appendix B of the standard.
"""

import asyncio
import unittest

from fakes import run, until
from mqtt5peer import Peer5, connack, frame, parse_publish, text

from mqboard.mqtt import MqttError, packet
from mqboard.mqtt5 import Refusal
from mqboard.mqtt5 import properties as props

GIVEN = {
    props.CONTENT_TYPE: "application/json",
    props.RESPONSE_TOPIC: "answers",
    props.CORRELATION_DATA: b"\1\2",
    props.USER: [("k", "1"), ("k", "2")],
}


class PublishTest(unittest.TestCase):
    def test_properties_travel_at_each_qos(self):
        async def go():
            peer = Peer5()
            await peer.start()
            for number, qos in enumerate((0, 1, 2)):
                publish = peer.client.publish("t", b"hi", qos=qos, properties=GIVEN)
                asyncio.create_task(publish)
                first, body = (await peer.packets(number + 1))[number]
                self.assertEqual(first, 0x30 | qos << 1)
                self.assertEqual(parse_publish(first, body), ("t", number, GIVEN, b"hi"))
            await peer.client.publish("t", b"")
            first, body = (await peer.packets(4))[3]
            self.assertEqual(body, text("t") + b"\0")

        run(go())

    def test_a_window_and_plain_code_publish_too(self):
        async def go():
            peer = Peer5()
            await peer.start()
            peer.client.publish_now("now", b"!")

            async def send():
                async with peer.client.window(4) as window:
                    await window.publish("t", b"1", properties=GIVEN)
                    await window.publish("t", b"2")

            task = asyncio.create_task(send())
            packets = await peer.packets(3)
            got = [parse_publish(*each) for each in packets]
            self.assertEqual(got, [("now", 0, {}, b"!"), ("t", 1, GIVEN, b"1"), ("t", 2, {}, b"2")])
            peer.stream.feed(b"\x40\x02\0\1\x40\x02\0\2")
            await task

        run(go())

    def test_large_properties_and_payloads_do_not_fit_the_send_buffer(self):
        async def go():
            peer = Peer5()
            await peer.start()
            for size in (1400, 1440, 1449, 1460, 5000):
                given = {props.CORRELATION_DATA: bytes(size)}
                await peer.client.publish("t" * 40, b"p" * 2000, properties=given)
                got = parse_publish(*peer.sent()[-1])
                self.assertEqual(got, ("t" * 40, 0, given, b"p" * 2000))

        run(go())

    def test_properties_that_a_message_has_not_are_refused_before_it_is_kept(self):
        async def go():
            peer = Peer5()
            bad = ({0x11: 1}, {0x23: 1}, {0x0B: 1}, {8: "a/#"}, {8: ""})  # MQTT-3.3.4-6, 3.3.2-14
            for given in bad:
                for qos in (0, 1):
                    with self.assertRaises(ValueError):
                        await peer.client.publish("t", b"", qos=qos, properties=given)
            self.assertEqual(len(peer.client.outbox.waiting), 0)

        run(go())

    def test_qos_1_goes_again_with_its_properties_on_the_next_connection(self):
        async def go():
            for session, first in ((0, 0x32), (1, 0x3A)):
                peer = Peer5(clean=False)
                peer.client._known = True
                await peer.start()
                task = asyncio.create_task(peer.client.publish("t", b"hi", qos=1, properties=GIVEN))
                await peer.packets(1)
                peer.answers = connack(session=session)
                peer.stream.end()
                await until(lambda p=peer: len(p.streams) == 2 and p.sent())
                self.assertEqual(peer.sent()[0][0], first)
                self.assertEqual(parse_publish(*peer.sent()[0])[1:], (1, GIVEN, b"hi"))
                peer.stream.feed(b"\x40\x02\0\1")
                self.assertTrue(await task)
                peer.task.cancel()

        run(go())

    def test_what_is_left_of_its_expiry_shrinks_while_a_message_waits(self):
        async def go():
            peer = Peer5()
            given = {props.MESSAGE_EXPIRY: 100, props.CONTENT_TYPE: "x"}
            tasks = [
                asyncio.create_task(peer.client.publish("t", b"", qos=1, properties=given)),
                asyncio.create_task(
                    peer.client.publish("t", b"", qos=1, properties={props.MESSAGE_EXPIRY: 30})
                ),
            ]
            await asyncio.sleep(0)
            for pending in peer.client.outbox.waiting.values():
                pending.since -= 30_500
            await peer.start()
            self.assertFalse(await tasks[1])
            self.assertEqual(peer.client.expired, 1)
            (sent,) = await peer.packets(1)
            self.assertEqual(parse_publish(*sent)[2][props.MESSAGE_EXPIRY], 70)
            self.assertEqual(given[props.MESSAGE_EXPIRY], 100)

        run(go())


class ReasonTest(unittest.TestCase):
    def test_a_message_that_the_broker_refuses_is_told_with_its_reason(self):
        async def go():
            peer = Peer5()
            await peer.start()
            for number, (qos, kind) in enumerate(((1, 0x40), (2, 0x50))):
                task = asyncio.create_task(peer.client.publish("t", b"hi", qos=qos))
                await peer.packets(number + 1)
                reason = props.encode({props.REASON_STRING: "why"}, props.IN_ANSWER)
                peer.stream.feed(frame(kind, bytes((0, number + 1, 0x87)) + reason))
                self.assertFalse(await task)
                self.assertEqual(peer.client.refusal.code, 0x87)
                self.assertEqual(peer.client.refusal.reason, "why")
                self.assertIn("2 bytes to t: not authorized (0x87): why", peer.log.lines[-1])
            self.assertEqual(peer.client.refused, 2)
            self.assertEqual(len(peer.sent()), 2)  # and no PUBREL: MQTT-4.3.3-4

        run(go())

    def test_no_matching_subscribers_is_no_refusal(self):
        async def go():
            peer = Peer5()
            await peer.start()
            for number, answer in enumerate((b"\x10", b"\x10\0", b"\0", b"")):
                task = asyncio.create_task(peer.client.publish("t", b"hi", qos=1))
                await peer.packets(number + 1)
                peer.stream.feed(frame(0x40, bytes((0, number + 1)) + answer))
                self.assertTrue(await task)

        run(go())

    def test_qos_2_with_reasons_all_the_way(self):
        async def go():
            peer = Peer5()
            await peer.start()
            task = asyncio.create_task(peer.client.publish("t", b"hi", qos=2))
            await peer.packets(1)
            peer.stream.feed(frame(0x50, b"\0\1\x10\0"))
            self.assertEqual((await peer.packets(2))[1], (0x62, b"\0\1"))
            peer.stream.feed(frame(0x70, b"\0\1\x92\0"))
            self.assertTrue(await task)

        run(go())

    def test_a_refused_subscription_says_why(self):
        async def go():
            peer = Peer5()
            await peer.start()
            why = props.encode({props.REASON_STRING: "private"}, props.IN_ANSWER)
            with self.assertRaises(Refusal) as caught:
                await peer.subscribed(answer=why + b"\x87")
            self.assertEqual(caught.exception.code, 0x87)
            self.assertIn("a/#: not authorized (0x87): private", str(caught.exception))
            self.assertTrue(isinstance(caught.exception, MqttError))

        run(go())

    def test_options_and_properties_of_a_subscription(self):
        async def go():
            peer = Peer5()
            await peer.start()
            body = await peer.subscribed(
                qos=2,
                no_local=True,
                retain_as_published=True,
                retain_handling=2,
                subscribe_properties={props.SUBSCRIPTION_ID: 300},
            )
            self.assertEqual(body[2:], b"\3\x0b\xac\2" + text("a/#") + b"\x2e")
            task = asyncio.create_task(peer.client.unsubscribe("a/#"))
            first, body = (await peer.packets(2))[1]
            self.assertEqual((first, body[2:]), (0xA2, b"\0" + text("a/#")))
            peer.stream.feed(frame(0xB0, body[:2] + b"\0\x11"))
            await task
            self.assertEqual(peer.client._unwanted, [])

        run(go())


class LimitTest(unittest.TestCase):
    async def limited(self, given):
        peer = Peer5(answers=connack(given=given))
        await peer.start()
        return peer

    def test_no_more_messages_are_on_their_way_than_the_broker_wants(self):
        # MQTT-3.3.4-9
        async def go():
            peer = await self.limited({props.RECEIVE_MAXIMUM: 2})
            tasks = [
                asyncio.create_task(peer.client.publish("t", b"%d" % n, qos=1 + n % 2))
                for n in range(6)
            ]
            packets = await peer.packets(2)
            await asyncio.sleep(0.02)
            self.assertEqual(len(peer.sent()), 2)
            peer.stream.feed(b"\x50\x02\0\2")  # PUBREC makes no room
            self.assertEqual((await peer.packets(3))[2], (0x62, b"\0\2"))
            await asyncio.sleep(0.02)
            self.assertEqual(len(peer.sent()), 3)
            peer.stream.feed(b"\x40\x02\0\1")
            await peer.packets(4)
            peer.stream.feed(frame(0x70, b"\0\2"))
            await peer.packets(5)
            peer.stream.feed(b"\x40\x02\0\3" + frame(0x50, b"\0\4\x97"))  # a refusal does
            packets = await peer.packets(7)
            order = [parse_publish(*each)[3] for each in packets if each[0] & 0xF0 == 0x30]
            self.assertEqual(order, [b"%d" % n for n in range(6)])
            await peer.client.publish("t", b"qos 0 has no limit")
            for n in (0, 1, 2):
                self.assertTrue(await tasks[n])
            self.assertFalse(await tasks[3])

        run(go())

    def test_the_limit_holds_for_what_is_sent_again_and_for_windows(self):
        async def go():
            peer = Peer5(answers=connack(given={props.RECEIVE_MAXIMUM: 1}))

            async def send():
                async with peer.client.window(4) as window:
                    for number in range(4):
                        await window.publish("t", b"%d" % number)

            task = asyncio.create_task(send())
            await asyncio.sleep(0)
            await peer.start()  # with all four of them waiting
            for number in range(4):
                await peer.packets(number + 1)
                await asyncio.sleep(0.01)
                self.assertEqual(len(peer.sent()), number + 1)
                if number == 1:
                    peer.stream.end()
                    await until(lambda: len(peer.streams) == 2 and peer.sent())
                    peer.client.outbox.waiting[2].code = None
                    peer.stream.feed(b"\x40\x02\0\2")
                    break
                peer.stream.feed(frame(0x40, bytes((0, number + 1))))
            for number in (3, 4):
                await peer.packets(number - 1)
                self.assertEqual(len(peer.sent()), number - 1)
                peer.stream.feed(frame(0x40, bytes((0, number))))
            await task

        run(go())

    def test_one_that_is_given_up_makes_no_room_until_it_is_acknowledged(self):
        async def go():
            peer = await self.limited({props.RECEIVE_MAXIMUM: 1})
            with self.assertRaises(asyncio.TimeoutError):
                await peer.client.publish("t", b"0", qos=1, timeout=0.02)
            task = asyncio.create_task(peer.client.publish("t", b"1", qos=1))
            await asyncio.sleep(0.02)
            self.assertEqual(len(peer.sent()), 1)
            peer.stream.feed(b"\x40\x02\0\1")
            await peer.packets(2)
            peer.stream.feed(b"\x40\x02\0\2")
            self.assertTrue(await task)

        run(go())

    def test_a_packet_too_large_for_the_broker_is_not_sent(self):
        # MQTT-3.2.2-15
        async def go():
            peer = await self.limited({props.MAXIMUM_PACKET_SIZE: 30, 0x22: 5})
            for qos, fits in ((0, 24), (1, 22)):
                self.assertFalse(await peer.client.publish("t", bytes(fits + 1), qos=qos))
                self.assertEqual(peer.client.refusal.code, 0x95)
                asyncio.create_task(peer.client.publish("t", bytes(fits), qos=qos))
                (first, body) = (await peer.packets(1 + qos))[qos]
                self.assertEqual(len(frame(first, body)), 30)
                # A line of the log may be too large itself, and goes at QoS 0.
                self.assertEqual(len(peer.log.lines), qos)
            given = {props.USER: {"k": "v" * 20}}
            self.assertFalse(await peer.client.publish("t", b"", qos=1, properties=given))

        run(go())

    def test_neither_qos_nor_retain_that_the_broker_has_not(self):
        # MQTT-3.2.2-11, MQTT-3.2.2-14
        async def go():
            peer = await self.limited({props.MAXIMUM_QOS: 1, props.RETAIN_AVAILABLE: 0})
            for options, code in (({"qos": 2}, 0x9B), ({"retain": True}, 0x9A)):
                self.assertFalse(await peer.client.publish("t", b"", **options))
                self.assertEqual(peer.client.refusal.code, code)
            self.assertEqual(peer.sent(), [])

        run(go())

    def test_no_subscription_that_the_broker_has_not(self):
        async def go():
            peer = await self.limited({0x28: 0, 0x29: 0, 0x2A: 0})
            for topic_filter, given, code in (
                ("a/+", None, 0xA2),
                ("$share/g/a", None, 0x9E),
                ("a", {props.SUBSCRIPTION_ID: 1}, 0xA1),
            ):
                with self.assertRaises(Refusal) as caught:
                    await peer.client.subscribe(
                        topic_filter, peer.handler, subscribe_properties=given
                    )
                self.assertEqual(caught.exception.code, code)
            self.assertEqual(peer.sent(), [])
            with self.assertRaises(ValueError):  # MQTT-3.8.3-4
                await peer.client.subscribe("$share/g/a", peer.handler, no_local=True)

        run(go())


class AliasTest(unittest.TestCase):
    def test_a_topic_is_sent_once_and_its_alias_from_then_on(self):
        async def go():
            peer = Peer5(answers=connack(given={props.TOPIC_ALIAS_MAXIMUM: 2}))
            await peer.start()
            for topic in ("a", "a", "b", "a", "c", "c", "a", "b"):
                await peer.client.publish(topic, b"", properties={props.CONTENT_TYPE: "x"})
            got = [parse_publish(*each) for each in peer.sent()]
            self.assertEqual(
                [(topic, found[props.TOPIC_ALIAS]) for topic, _, found, _ in got],
                [("a", 1), ("", 1), ("b", 2), ("", 1), ("c", 1), ("", 1), ("a", 2), ("b", 1)],
            )
            self.assertEqual({found[props.CONTENT_TYPE] for _, _, found, _ in got}, {"x"})

        run(go())

    def test_aliases_are_those_of_one_connection(self):
        # MQTT-3.3.2-7
        async def go():
            peer = Peer5(answers=connack(given={props.TOPIC_ALIAS_MAXIMUM: 2}))
            await peer.start()
            await peer.client.publish("a", b"")
            task = asyncio.create_task(peer.client.publish("a", b"kept", qos=1))
            await peer.packets(2)
            self.assertEqual(parse_publish(*peer.sent()[1])[0], "")
            peer.answers = connack(given={props.TOPIC_ALIAS_MAXIMUM: 1})
            peer.stream.end()
            await until(lambda: len(peer.streams) == 2 and peer.sent())
            self.assertEqual(parse_publish(*peer.sent()[0])[0], "a")
            task.cancel()
            peer.answers = connack()
            peer.stream.end()
            await until(lambda: len(peer.streams) == 3)
            await peer.client.up.wait()
            await peer.client.publish("a", b"")
            self.assertEqual(peer.sent()[-1][1], text("a") + b"\0")

        run(go())

    def test_an_alias_whose_packet_was_never_sent_is_not_used(self):
        async def go():
            peer = Peer5(answers=connack(given={props.TOPIC_ALIAS_MAXIMUM: 2}))
            await peer.start()
            peer.stream.room = 100
            for topic, size in (("x", 300), ("y", 4)):  # the second one waits behind the first
                task = asyncio.create_task(peer.client.publish(topic, bytes(size)))
                await until(lambda: peer.stream.room == 0 and peer.client.writer.busy)
                task.cancel()
                await until(lambda: not peer.client.writer.busy)
            peer.stream.drain()
            await peer.client.publish("y", b"here")
            got = [parse_publish(*each) for each in peer.sent()]
            self.assertEqual([(each[0], len(each[3])) for each in got], [("x", 300), ("y", 4)])

        run(go())


class WindowRefusedTest(unittest.TestCase):
    def test_a_window_goes_on_past_what_is_refused(self):
        async def go():
            peer = Peer5()
            await peer.start()

            async def send():
                async with peer.client.window(1) as window:
                    for number in range(3):
                        await window.publish("t", b"%d" % number)

            task = asyncio.create_task(send())
            for number, answer in enumerate((b"", b"\x97", b"")):
                await peer.packets(number + 1)
                peer.stream.feed(frame(packet.PUBACK, bytes((0, number + 1)) + answer))
            await task
            self.assertEqual(peer.client.refused, 1)

        run(go())


if __name__ == "__main__":
    unittest.main()
