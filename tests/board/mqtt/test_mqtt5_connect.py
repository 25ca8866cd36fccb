"""Tests how the MQTT 5 client connects: CONNECT, CONNACK, 3.1.1 in its place, other servers.

The numbers are those of the conformance statements in appendix B of the standard.
"""

import asyncio
import unittest

from fakes import run, until
from mqtt5peer import Peer5, connack, disconnect, frame, split, text

from mqboard.mqtt5 import properties as props

OLD = b"\x20\x02\0\0"  # what a broker of MQTT 3.1.1 accepts with


class ConnectTest(unittest.TestCase):
    def connect(self, **options):
        """Return the body of the first CONNECT of a client."""
        bodies = []

        async def go():
            peer = Peer5(**options)
            await peer.start()
            (packet,) = split(peer.stream.sent)
            self.assertEqual(packet[0], 0x10)
            bodies.append(packet[1])

        run(go())
        return bodies[0]

    def test_the_smallest_connect(self):
        body = self.connect(properties={props.TOPIC_ALIAS_MAXIMUM: 0})
        self.assertEqual(body[:10], b"\0\4MQTT\5\2\0\x3c")
        self.assertIn(body[10:17], (b"\6\x21\1\0\x22\0\0", b"\6\x22\0\0\x21\1\0"))
        self.assertEqual(body[17:], text("board"))

    def test_a_connect_with_all_there_is(self):
        body = self.connect(
            user="u",
            password=b"\0p",
            keepalive=5,
            clean=False,
            properties={props.TOPIC_ALIAS_MAXIMUM: 2, props.USER: {"site": "north"}},
            will=("w", b"gone", 1, True, {props.WILL_DELAY: 30}),
        )
        self.assertEqual(body[6:10], b"\5\xec\0\5")
        start, stop = props.span(body, 10, len(body))
        found = {}
        props.decode(body, start, stop, props.IN_CONNECT, found)
        self.assertEqual(found[props.SESSION_EXPIRY], 0xFFFFFFFF)
        self.assertEqual(found[props.USER], [("site", "north")])
        will = b"\5\x18\0\0\0\x1e" + text("w") + text("gone")
        self.assertEqual(body[stop:], text("board") + will + text("u") + text(b"\0p"))

    def test_properties_that_a_connect_has_not_are_refused_when_the_client_is_made(self):
        for given in ({props.CONTENT_TYPE: "t"}, {props.RECEIVE_MAXIMUM: 0}):
            with self.assertRaises(ValueError):
                Peer5(properties=given)
        with self.assertRaises(ValueError):
            Peer5(will=("w", b"", 0, False, {props.TOPIC_ALIAS: 1}))

    def test_a_session_that_expires_begins_anew_with_the_program_only(self):
        async def go():
            peer = Peer5(properties={props.SESSION_EXPIRY: 60})
            peer.turns = [connack(), connack(session=1), connack(session=1)]
            await peer.start()
            peer.stream.end()
            await until(lambda: len(peer.streams) == 3)
            await peer.client.up.wait()
            connects = [split(stream.sent)[0] for stream in peer.streams]
            self.assertEqual([body[7] & 2 for _, body in connects], [2, 0, 0])
            # What began clean is ended in favour of what can be gone on with: see the client.
            self.assertEqual(split(peer.streams[0].sent)[1:], [(0xE0, b"")])
            self.assertTrue(peer.client.session_present)
            self.assertEqual(peer.client.connects, 2)

        run(go())


class ConnackTest(unittest.TestCase):
    def test_a_connack_in_pieces_and_with_what_follows_it(self):
        async def go():
            answer = connack(given={props.USER: [("k", "v" * 200)], props.MAXIMUM_QOS: 1})
            peer = Peer5(answers=b"")
            asyncio.create_task(peer.client.run())
            await until(lambda: peer.streams and peer.stream.sent)
            for byte in answer:
                peer.stream.feed(bytes((byte,)))
                await asyncio.sleep(0)
            await peer.client.up.wait()
            self.assertEqual(peer.client.granted[props.USER], [("k", "v" * 200)])
            self.assertEqual(peer.client.level, 5)

        run(go())

    def test_a_refusal_says_its_reason_in_words_and_in_the_brokers(self):
        async def go():
            peer = Peer5(answers=connack(0x87, {props.REASON_STRING: "not you"}))
            asyncio.create_task(peer.client.run())
            await until(lambda: peer.log.lines)
            self.assertIn("not authorized (0x87): not you", peer.log.lines[0])
            peer.answers = connack()
            await peer.client.up.wait()

        run(go())

    def test_a_broker_that_cannot_keep_the_will_is_left_as_if_it_had_refused_us(self):
        # MQTT-3.2.2-12, MQTT-3.2.2-13: it had to
        async def go():
            will = ("board/mqb/status", b"gone", 1, True)
            for given, code in (
                ({props.RETAIN_AVAILABLE: 0}, "(0x9a)"),
                ({props.MAXIMUM_QOS: 0}, "(0x9b)"),
            ):
                peer = Peer5(will=will, answers=connack(given=given))
                asyncio.create_task(peer.client.run())
                await until(lambda p=peer: len(p.streams) > 1 and p.streams[1].sent)
                self.assertIn(code, peer.log.lines[0])
                # Nobody is told that it vanished, and 3.1.1, which has no words for it, is no way.
                first = peer.streams[0].sent
                self.assertEqual(split(first)[1:], [(0xE0, b"")])
                self.assertEqual(split(peer.streams[1].sent)[0][1][:7], b"\0\4MQTT\5")
                self.assertFalse(peer.client.up.is_set() or peer.client.connects)
                peer.answers = connack()
                await peer.client.up.wait()
            peer = Peer5(
                will=("w", b"", 0, False),
                answers=connack(given={props.RETAIN_AVAILABLE: 0, props.MAXIMUM_QOS: 0}),
            )
            await peer.start()
            self.assertTrue(await peer.client.publish("t", b""))
            self.assertFalse(await peer.client.publish("t", b"", qos=1))
            self.assertEqual(peer.client.refusal.code, 0x9B)

        run(go())

    def test_the_brokers_keep_alive_is_kept(self):
        # MQTT-3.2.2-21
        async def go():
            for ours, theirs, used in ((60, 10, 10), (0, 7, 7), (20, 30, 20), (20, 0, 20)):
                peer = Peer5(keepalive=ours, answers=connack(given={0x13: theirs}))
                await peer.start()
                self.assertEqual(peer.client.keepalive, used)
                peer.answers = connack()
                peer.stream.end()
                await until(lambda p=peer: len(p.streams) == 2)
                await peer.client.up.wait()
                self.assertEqual(peer.client.keepalive, ours)
                peer.task.cancel()

        run(go())

    def test_a_client_id_that_the_broker_assigns_is_used_from_then_on(self):
        # MQTT-3.2.2-16
        async def go():
            peer = Peer5(answers=connack(given={props.ASSIGNED_CLIENT_ID: "given-7"}))
            peer.client.client_id = ""
            await peer.start()
            self.assertTrue(split(peer.stream.sent)[0][1].endswith(text("")))
            self.assertEqual(peer.client.client_id, "given-7")
            peer.stream.end()
            await until(lambda: len(peer.streams) == 2)
            await peer.client.up.wait()
            self.assertTrue(split(peer.stream.sent)[0][1].endswith(text("given-7")))

        run(go())

    def test_a_session_where_none_was_wanted_is_a_protocol_error(self):
        # MQTT-3.2.2-4
        async def go():
            peer = Peer5()
            peer.turns = [connack(session=1)]
            await peer.start()
            self.assertEqual(split(peer.streams[0].sent)[1:], [(0xE0, b"\x82")])
            self.assertEqual(len(peer.streams), 2)

        run(go())

    def test_answers_that_are_none(self):
        async def go():
            for answer in (
                frame(0x20, b"\2\0\0"),  # MQTT-3.2.2-1: reserved bits
                frame(0x20, b"\0\0\5\x21\0\1"),
                frame(0x20, b"\0\0\2\x24\7"),
                frame(0x20, b"\0\0\0more"),
                frame(0x20, b"\0"),
                frame(0x30, b"\0\1a\0"),  # MQTT-3.2.0-1: CONNACK is the first packet
                b"\x20\xff\xff\xff\xff\x01",
                frame(0x20, b"\0\0\xd0\x24" + b"\x1f\x12\x4d" + bytes(4685)),
            ):
                peer = Peer5(insist=True)
                peer.turns = [answer]
                await peer.start()
                self.assertEqual(len(peer.streams), 2)
                self.assertEqual(peer.client.level, 5)
                peer.task.cancel()

        run(go(), 30)


class FallBackTest(unittest.TestCase):
    def test_a_broker_that_refuses_the_level_is_asked_by_3_1_1_at_once(self):
        async def go():
            for refusal in (connack(0x84), b"\x20\x02\0\1"):
                peer = Peer5()
                peer.turns = [refusal, OLD]
                await peer.start()
                self.assertEqual(peer.client.level, 4)
                self.assertEqual(split(peer.stream.sent)[0][1][6], 4)
                self.assertEqual(peer.client.failures, 0)
                # From then on, too, until that fails.
                peer.answers = OLD
                peer.stream.end()
                await until(lambda p=peer: len(p.streams) == 3)
                await peer.client.up.wait()
                self.assertEqual(split(peer.stream.sent)[0][1][6], 4)
                peer.turns = [b"\x20\x02\0\5", connack()]
                peer.stream.end()
                await until(lambda p=peer: len(p.streams) == 5)
                await peer.client.up.wait()
                self.assertEqual(peer.client.level, 5)
                peer.task.cancel()

        run(go(), 30)

    def test_by_3_1_1_all_is_as_ever(self):
        async def go():
            peer = Peer5()
            peer.turns = [connack(1), OLD]
            await peer.start()
            peer.client._given = b""
            body = await peer.subscribed(answer=b"\1", properties=True, no_local=True)
            self.assertEqual(body[2:], text("a/#") + b"\1")
            peer.stream.feed(b"\x32\x08\0\3a/b\0\7!")
            await until(lambda: peer.got)
            self.assertEqual(peer.got, [("a/b", b"!", False, None)])
            task = asyncio.create_task(
                peer.client.publish("t", b"hi", qos=1, properties={props.CONTENT_TYPE: "x"})
            )
            packets = await peer.packets(3)
            self.assertEqual(packets[1], (0x40, b"\0\7"))
            self.assertEqual(packets[2], (0x32, text("t") + b"\0\2hi"))
            peer.stream.feed(b"\x40\x02\0\2")
            self.assertTrue(await task)
            await peer.client.publish("t", b"0", properties={props.CONTENT_TYPE: "x"})
            self.assertEqual((await peer.packets(4))[3], (0x30, text("t") + b"0"))

        run(go())

    def test_a_broker_that_hangs_up_twice_is_asked_by_3_1_1_the_next_time(self):
        async def go():
            peer = Peer5()
            peer.turns = [None, None, OLD]
            await peer.start()
            self.assertEqual([split(s.sent)[0][1][6] for s in peer.streams], [5, 5, 4])
            self.assertEqual(peer.client.level, 4)
            # It may have been about to restart: the next connection is tried by MQTT 5.
            peer.stream.end()
            await until(lambda: len(peer.streams) == 4)
            await peer.client.up.wait()
            self.assertEqual(peer.client.level, 5)

        run(go())

    def test_a_broker_that_answers_with_nonsense_is_asked_by_3_1_1_from_then_on(self):
        async def go():
            peer = Peer5()
            peer.turns = [frame(0x30, b"\0\1a\0"), OLD, OLD]
            await peer.start()
            peer.stream.end()
            await until(lambda: len(peer.streams) == 3)
            await peer.client.up.wait()
            self.assertEqual([split(s.sent)[0][1][6] for s in peer.streams], [5, 4, 4])

        run(go())

    def test_who_insists_on_5_is_not_asked_by_3_1_1(self):
        async def go():
            peer = Peer5(insist=True)
            peer.turns = [connack(0x84), None, None, None]
            await peer.start()
            self.assertEqual([split(s.sent)[0][1][6] for s in peer.streams], [5] * 5)
            self.assertIn("unsupported protocol version (0x84)", peer.log.lines[0])

        run(go(), 30)

    def test_each_of_several_brokers_is_asked_in_its_own_way(self):
        async def go():
            peer = Peer5()
            peer.client.peer = "old"
            peer.turns = [connack(1), OLD]
            await peer.start()
            peer.client.peer = "new"
            peer.stream.end()
            await until(lambda: len(peer.streams) == 3)
            await peer.client.up.wait()
            self.assertEqual(peer.client.level, 5)

        run(go())

    def test_messages_and_subscriptions_outlive_a_change_of_the_protocol(self):
        async def go():
            peer = Peer5(clean=False)
            peer.answers = connack(given={props.TOPIC_ALIAS_MAXIMUM: 4})
            await peer.start()
            await peer.subscribed(no_local=True)
            await peer.client.publish("long/topic", b"")
            task = asyncio.create_task(peer.client.publish("long/topic", b"kept", qos=1))
            await peer.packets(3)
            peer.turns = [connack(0x84), OLD]
            peer.stream.end()
            await until(lambda: len(peer.streams) == 3 and len(peer.sent()) == 1)
            first, body = peer.sent()[0]
            self.assertEqual((first, body[2:]), (0x82, text("a/#") + b"\1"))
            peer.stream.feed(frame(0x90, body[:2] + b"\1"))
            packets = await peer.packets(2)
            self.assertEqual(packets[1], (0x32, text("long/topic") + b"\0\2kept"))
            peer.stream.feed(b"\x40\x02\0\2")
            self.assertTrue(await task)

        run(go())


class OtherServerTest(unittest.TestCase):
    def test_a_connack_sends_us_to_another_server_once(self):
        async def go():
            peer = Peer5()
            peer.turns = [connack(0x9C, {props.SERVER_REFERENCE: "other:1884 third"}), connack()]
            await peer.start()
            self.assertEqual(peer.servers, [(), ("other", 1884)])
            peer.stream.end()
            await until(lambda: len(peer.streams) == 3)
            self.assertEqual(peer.servers[2], ())

        run(go())

    def test_a_server_that_moved_is_left_for_good_until_the_new_one_fails(self):
        async def go():
            peer = Peer5()
            peer.turns = [connack(0x9D, {props.SERVER_REFERENCE: "[::1]"}), connack(), connack()]
            await peer.start()
            peer.stream.end()
            await until(lambda: len(peer.streams) == 3)
            await peer.client.up.wait()
            self.assertEqual(peer.servers, [(), ("::1", None), ("::1", None)])
            peer.turns = [None, connack()]
            peer.stream.end()
            await until(lambda: len(peer.streams) == 5)
            self.assertEqual(peer.servers[3:], [("::1", None), ()])

        run(go())

    def test_a_disconnect_sends_us_away_too(self):
        async def go():
            peer = Peer5()
            await peer.start()
            peer.stream.feed(disconnect(0x9C, {props.SERVER_REFERENCE: "other"}))
            await until(lambda: len(peer.streams) == 2)
            await peer.client.up.wait()
            self.assertEqual(peer.servers, [(), ("other", None)])

        run(go())

    def test_being_sent_on_and_on_has_an_end(self):
        async def go():
            away = connack(0x9C, {props.SERVER_REFERENCE: "next"})
            peer = Peer5()
            peer.turns = [away] * 4
            await peer.start()
            self.assertIn("from server to server", "\n".join(peer.log.lines))
            self.assertEqual(peer.servers[4], ())

        run(go())

    def test_references_that_are_none_are_refusals(self):
        async def go():
            for reference in ("", " ", "host:port", "host:0", "host:70000", ":1883"):
                peer = Peer5()
                peer.turns = [connack(0x9C, {props.SERVER_REFERENCE: reference})]
                await peer.start()
                self.assertIn("use another server (0x9c)", peer.log.lines[0])
                self.assertEqual(peer.servers, [(), ()])
                peer.task.cancel()

        run(go(), 30)


class DisconnectTest(unittest.TestCase):
    def test_the_brokers_reason_is_told(self):
        async def go():
            peer = Peer5()
            await peer.start()
            peer.stream.feed(disconnect(0x8B, {props.REASON_STRING: "back soon"}))
            await until(lambda: len(peer.streams) == 2)
            self.assertIn("server shutting down (0x8b): back soon", peer.log.lines[0])

        run(go())

    def test_a_disconnect_without_a_reason(self):
        async def go():
            for data in (b"\xe0\0", b"\xe0\1\x8e", b"\xe0\2\x8e\0"):
                peer = Peer5()
                await peer.start()
                peer.stream.feed(data)
                await until(lambda p=peer: len(p.streams) == 2)
                self.assertIn("broker hung up", peer.log.lines[0])
                peer.task.cancel()

        run(go())

    def test_a_message_at_which_the_broker_hangs_up_with_a_reason_is_given_up(self):
        async def go():
            peer = Peer5()
            await peer.start()
            task = asyncio.create_task(peer.client.publish("t", b"large", qos=1))
            for count in (1, 2, 3):
                await until(lambda n=count: len(peer.streams) == n and peer.sent())
                peer.stream.feed(disconnect(0x95))
            self.assertFalse(await task)
            await until(lambda: len(peer.streams) == 4)
            await peer.client.up.wait()
            self.assertEqual(peer.client.refused, 1)

        run(go())

    def test_we_leave_with_or_without_the_will(self):
        async def go():
            for options, wanted in (({}, b""), ({"with_will": True}, b"\4")):
                peer = Peer5()
                await peer.start()
                await peer.client.disconnect(**options)
                self.assertEqual(peer.sent(), [(0xE0, wanted)])
                peer.task.cancel()

        run(go())


if __name__ == "__main__":
    unittest.main()
