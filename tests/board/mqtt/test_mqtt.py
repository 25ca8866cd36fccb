"""Tests the MQTT client against a scripted peer."""

import asyncio
import struct
import unittest

from fakes import FakeLog, FakeStream, run, until

from mqboard.mqtt import Client, MqttError, packet

CONNACK = b"\x20\x02\x00\x00"


def publish(topic, payload, qos=0, packet_id=1, flags=0):
    body = struct.pack(">H", len(topic)) + topic
    if qos:
        body += struct.pack(">H", packet_id)
    body += payload
    head = bytearray(8)
    end = packet.put_length(head, 1, len(body))
    head[0] = 0x30 | qos << 1 | flags
    return bytes(head[:end]) + body


class Peer:
    """Makes streams for a client and answers the first packets of each connection."""

    def __init__(self, answers=CONNACK, **options):
        self.streams = []
        self.answers = answers
        self.log = FakeLog()
        self.client = Client(self.open, "board", log=self.log, **options)
        self.client.backoff_ms = 20
        self.client.outbox.last_id = 0  # packet ids from 1 on
        self.got = []
        self.room = None  # bytes that the next streams take

    async def open(self):
        stream = FakeStream()
        stream.room = self.room
        stream.feed(self.answers)
        self.streams.append(stream)
        return stream

    @property
    def stream(self):
        return self.streams[-1]

    def handler(self, topic, payload, retained):
        self.got.append((topic, bytes(payload), retained))

    async def start(self):
        self.task = asyncio.create_task(self.client.run())
        await self.client.up.wait()

    async def subscribed(self, topic_filter="a/#"):
        """Subscribe with the SUBACK coming as soon as the packet is out."""
        task = asyncio.create_task(self.client.subscribe(topic_filter, self.handler))
        before = len(self.stream.sent)
        await until(lambda: len(self.stream.sent) > before)
        packet_id = bytes(self.stream.sent[before + 2 : before + 4])
        self.stream.feed(b"\x90\x03" + packet_id + b"\x01")
        await task


class ClientTest(unittest.TestCase):
    def test_connect_is_the_first_packet_and_one_write(self):
        async def go():
            peer = Peer(keepalive=60)
            await peer.start()
            self.assertEqual(peer.stream.writes[0][:1], b"\x10")
            self.assertEqual(len(peer.stream.writes), 1)
            self.assertTrue(peer.client.connected)

        run(go())

    def test_a_refusal_is_logged_and_tried_again(self):
        async def go():
            peer = Peer(answers=b"\x20\x02\x00\x05")
            asyncio.create_task(peer.client.run())
            await until(lambda: peer.log.lines)
            self.assertIn("not authorised", peer.log.lines[0])
            peer.answers = CONNACK
            await peer.client.up.wait()

        run(go())

    def test_messages_split_at_every_byte_and_merged(self):
        async def go():
            peer = Peer()
            await peer.start()
            await peer.subscribed()
            data = publish(b"a/1", b"one") + publish(b"a/2", b"x" * 300, flags=1)
            peer.stream.chunk = 1
            peer.stream.feed(data)
            await until(lambda: len(peer.got) == 2)
            peer.stream.chunk = None
            peer.stream.feed(data * 3)
            await until(lambda: len(peer.got) == 8)
            self.assertEqual(peer.got[0], ("a/1", b"one", False))
            self.assertEqual(peer.got[7], ("a/2", b"x" * 300, True))

        run(go())

    def test_a_vital_message_that_finds_no_memory_is_not_acknowledged(self):
        def full(topic, payload, retained):
            raise MemoryError

        async def go():
            ack = b"\x40\x02\x00\x07"
            for vital in (None, "a/"):
                peer = Peer()
                peer.handler = full
                peer.client.vital = vital
                await peer.start()
                await peer.subscribed()
                stream = peer.stream
                stream.feed(publish(b"a/1", b"one", qos=1, packet_id=7))
                await until(lambda p=peer, s=stream: ack in bytes(s.sent) or len(p.streams) == 2)
                self.assertEqual(ack in bytes(stream.sent), vital is None)

        run(go())

    def test_many_small_qos_1_messages_are_all_acknowledged(self):
        async def go():
            peer = Peer()
            await peer.start()
            await peer.subscribed()
            before = len(peer.stream.sent)
            peer.stream.feed(b"".join([publish(b"a", b"", 1, 1 + n) for n in range(100)]))
            await until(lambda: len(peer.stream.sent) == before + 400)
            acks = bytes(peer.stream.sent[before:])
            wanted = b"".join([b"\x40\x02" + struct.pack(">H", 1 + n) for n in range(100)])
            self.assertEqual(acks, wanted)
            self.assertEqual(len(peer.got), 100)

        run(go())

    def test_an_oversized_message_is_passed_over_and_acknowledged(self):
        async def go():
            peer = Peer(rx_size=256)
            await peer.start()
            await peer.subscribed()
            before = len(peer.stream.sent)
            for size in (252, 257, 1000, 300, 20000):
                peer.stream.feed(publish(b"a/b", b"z" * size, 1, size))
                peer.stream.feed(publish(b"a/c", b"%d" % size))
            await until(lambda: len(peer.got) >= 5)
            self.assertEqual(peer.client.oversized, 5)
            self.assertEqual(
                [got[1] for got in peer.got], [b"252", b"257", b"1000", b"300", b"20000"]
            )
            await until(lambda: len(peer.stream.sent) == before + 20)

        run(go())

    def test_qos_1_waits_for_its_acknowledgement(self):
        async def go():
            peer = Peer()
            await peer.start()
            task = asyncio.create_task(peer.client.publish("t", b"hi", qos=1))
            await until(lambda: len(peer.stream.writes) == 2)
            self.assertFalse(task.done())
            peer.stream.feed(b"\x40\x02\xff\xff")  # somebody else's
            peer.stream.feed(b"\x40\x02" + peer.stream.writes[1][5:7])
            self.assertTrue(await task)

        run(go())

    def test_qos_1_is_published_again_after_a_reconnect(self):
        async def go():
            for session, first in ((b"\x00", 0x32), (b"\x01", 0x3A)):
                peer = Peer()
                await peer.start()
                task = asyncio.create_task(peer.client.publish("t", b"hi", qos=1))
                await until(lambda peer=peer: len(peer.stream.writes) == 2)
                peer.answers = b"\x20\x02" + session + b"\x00"
                peer.stream.end()
                await until(lambda peer=peer: len(peer.streams) == 2)
                await until(lambda peer=peer: len(peer.stream.writes) == 2)
                self.assertEqual(peer.stream.writes[1][0], first)
                peer.stream.feed(b"\x40\x02" + peer.stream.writes[1][5:7])
                self.assertTrue(await task)
                peer.task.cancel()

        run(go())

    def test_subscriptions_are_made_again_only_when_the_session_is_gone(self):
        async def go():
            peer = Peer()
            await peer.start()
            await peer.subscribed()
            peer.answers = b"\x20\x02\x01\x00"
            peer.stream.end()
            await until(lambda: len(peer.streams) == 2)
            await peer.client.up.wait()
            self.assertEqual(len(peer.stream.writes), 1)
            peer.answers = CONNACK
            peer.stream.end()
            await until(lambda: len(peer.streams) == 3 and len(peer.stream.writes) == 2)
            self.assertEqual(peer.stream.writes[1][0], 0x82)

        run(go())

    def test_a_large_payload_and_a_full_socket(self):
        async def go():
            peer = Peer()
            await peer.start()
            peer.stream.sent = bytearray()
            peer.stream.room = 100
            task = asyncio.create_task(peer.client.publish("t", b"p" * 3000))
            await until(lambda: len(peer.stream.sent) == 100)
            peer.client.publish_now("n", b"now")  # finishes the other packet first
            await task
            wanted = publish(b"t", b"p" * 3000) + publish(b"n", b"now")
            self.assertEqual(bytes(peer.stream.sent), wanted)

        run(go())

    def test_a_small_packet_is_one_write(self):
        async def go():
            peer = Peer()
            await peer.start()
            await peer.client.publish("t", b"p" * 900)
            self.assertEqual(len(peer.stream.writes), 2)

        run(go())

    def test_a_silent_link_is_pinged_and_then_given_up(self):
        async def go():
            peer = Peer()
            peer.client.keepalive = 0.2
            await peer.start()
            await until(lambda: b"\xc0\x00" in bytes(peer.stream.sent))
            await until(lambda: len(peer.streams) == 2)
            self.assertIn("silent", peer.log.lines[0])

        run(go())

    def test_qos_0_without_a_connection_is_dropped_and_counted(self):
        async def go():
            client = Peer().client
            self.assertFalse(await client.publish("t", b""))
            self.assertEqual(client.dropped, 1)
            with self.assertRaises(OSError):
                client.publish_now("t", b"")

        run(go())

    def test_a_handler_that_raises_stops_nothing(self):
        async def go():
            peer = Peer()
            await peer.start()
            await peer.subscribed("bad")

            def bad(topic, payload, retained):
                raise ValueError("no")

            peer.client._subscriptions["bad"].handler = bad
            await peer.subscribed("good")
            peer.stream.feed(publish(b"bad", b"") + publish(b"good", b"!"))
            await until(lambda: peer.got)
            self.assertEqual(peer.got, [("good", b"!", False)])

        run(go())

    def test_garbage_breaks_the_link_and_not_the_client(self):
        async def go():
            peer = Peer()
            await peer.start()
            for junk in (
                b"\xff\xff\xff\xff\xff",
                b"\x36\x02\x00\x00",
                b"\x32\x03\x00\x05a",
                b"\x40\x00",
            ):
                count = len(peer.streams)
                peer.stream.feed(junk)
                await until(lambda count=count: len(peer.streams) == count + 1)
                await peer.client.up.wait()

        run(go(), 30)

    def test_a_topic_longer_than_the_buffer_is_passed_over_and_acknowledged(self):
        async def go():
            peer = Peer(rx_size=256)
            await peer.start()
            await peer.subscribed()
            for chunk in (1, 7, None):
                before = len(peer.stream.sent)
                count = len(peer.got)
                peer.stream.chunk = chunk
                peer.stream.feed(publish(b"a/" + b"t" * 900, b"z" * 40, 1, 0x0102))
                peer.stream.feed(publish(b"a/" + b"t" * 900, b"z" * 400))
                peer.stream.feed(publish(b"a/c", b"after"))
                await until(lambda count=count: len(peer.got) > count)
                await until(lambda before=before: len(peer.stream.sent) == before + 4)
                self.assertEqual(bytes(peer.stream.sent[before:]), b"\x40\x02\x01\x02")
            self.assertEqual(len(peer.streams), 1)

        run(go())

    def test_a_subscription_is_made_although_the_link_broke_at_it(self):
        async def go():
            peer = Peer()
            await peer.start()
            task = asyncio.create_task(peer.client.subscribe("x", peer.handler))
            await until(lambda: len(peer.stream.writes) == 2)
            peer.stream.end()
            await task
            await until(lambda: len(peer.streams) == 2 and len(peer.stream.writes) == 2)
            self.assertEqual(peer.stream.writes[1][0], 0x82)

        run(go())

    def test_a_filter_that_makes_the_broker_hang_up_has_to_wait(self):
        async def go():
            peer = Peer()
            await peer.start()
            task = asyncio.create_task(peer.client.subscribe("x", peer.handler))
            for count in (1, 2, 3):
                await until(lambda n=count: len(peer.streams) == n and len(peer.stream.writes) == 2)
                peer.stream.end()
            await task
            peer.client.keepalive = 0.4
            await until(lambda: len(peer.streams) == 4)
            await peer.client.up.wait()
            self.assertEqual(len(peer.stream.writes), 1)
            await until(lambda: len(peer.stream.writes) == 2)
            self.assertEqual(peer.stream.writes[1][0], 0x82)

        run(go())

    def test_a_cancelled_publish_leaves_the_stream_whole(self):
        async def go():
            peer = Peer()
            await peer.start()
            peer.stream.sent = bytearray()
            peer.stream.room = 100
            task = asyncio.create_task(peer.client.publish("a", b"A" * 300))
            await until(lambda: len(peer.stream.sent) == 100)
            task.cancel()
            other = asyncio.create_task(peer.client.publish("b", b"B" * 10))
            await asyncio.sleep(0)
            peer.stream.drain()
            await other
            wanted = publish(b"a", b"A" * 300) + publish(b"b", b"B" * 10)
            self.assertEqual(bytes(peer.stream.sent), wanted)

        run(go())

    def test_a_refused_subscription_is_an_error(self):
        async def go():
            peer = Peer()
            await peer.start()
            task = asyncio.create_task(peer.client.subscribe("x", peer.handler))
            await until(lambda: len(peer.stream.writes) == 2)
            peer.stream.feed(b"\x90\x03" + peer.stream.writes[1][2:4] + b"\x80")
            with self.assertRaises(MqttError):
                await task

        run(go())


if __name__ == "__main__":
    unittest.main()
