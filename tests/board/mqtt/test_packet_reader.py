"""Tests packets of every length and every fault, in both directions, through a client's stream."""

import asyncio
import gc
import struct
import unittest

from fakes import FakeStream, run, until
from test_mqtt import CONNACK, Peer, publish

LENGTHS = (
    (127, b"\x7f"),
    (128, b"\x80\x01"),
    (16383, b"\xff\x7f"),
    (16384, b"\x80\x80\x01"),
    (2097151, b"\xff\xff\x7f"),
    (2097152, b"\x80\x80\x80\x01"),
)

MALFORMED = (
    b"\x30\xff\xff\xff\xff\x01",  # a remaining length of five bytes
    b"\xd0\x80\x80\x80\x80\x00",
    b"\x00\x00",  # types that there are not, or not for a client
    b"\xf0\x00",
    b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
    b"\x20\x02\x00\x00",
    b"\x82\x06\x00\x01\x00\x01a\x01",
    b"\xa2\x05\x00\x01\x00\x01a",
    b"\xc0\x00",
    b"\xe0\x00",
    b"\x41\x02\x00\x01",  # flags that must be zero, or two
    b"\x51\x02\x00\x01",
    b"\x60\x02\x00\x01",
    b"\x63\x02\x00\x01",
    b"\x71\x02\x00\x01",
    b"\x91\x03\x00\x01\x00",
    b"\xb2\x02\x00\x01",
    b"\xd1\x00",
    b"\x40\x00",  # too short or too long
    b"\x40\x01\x00",
    b"\x40\x03\x00\x01\x00",
    b"\x50\x01\x00",
    b"\x62\x03\x00\x01\x00",
    b"\x70\x00",
    b"\x90\x02\x00\x01",
    b"\x90\x04\x00\x01\x00\x00",
    b"\xb0\x03\x00\x01\x00",
    b"\xd0\x01\x00",
    b"\x30\x00",  # PUBLISH: no topic, one that is longer than the packet, an empty one
    b"\x30\x01\x00",
    b"\x30\x03\x00\x02a",
    b"\x30\x02\x00\x00",
    b"\x30\x03\xff\xffa",
    b"\x36\x05\x00\x01a\x00\x01",  # QoS 3
    b"\x32\x05\x00\x01a\x00\x00",  # packet id 0, half an id, none
    b"\x34\x05\x00\x01a\x00\x00",
    b"\x32\x04\x00\x01a\x00",
    b"\x32\x03\x00\x01a",
    b"\x30\x04\x00\x01+x",  # a wildcard, what is no UTF-8
    b"\x30\x04\x00\x01#x",
    b"\x30\x04\x00\x02a\xff",
)

CONNACKS = (
    b"\x20\x00",
    b"\x20\x01\x00",
    b"\x20\x03\x00\x00\x00",
    b"\x21\x02\x00\x00",
    b"\x20\x02\x02\x00",
    b"\x30\x02\x00\x00",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
)


class LongStream(FakeStream):
    """A stream that ends in `zeros` zero bytes, and keeps only the start of what is sent."""

    zeros = 0
    taken = 0

    def readinto(self, view):
        count = FakeStream.readinto(self, view)
        if count is None and self.zeros:
            count = min(len(view), self.zeros)
            view[:count] = bytes(count)
            self.zeros -= count
        return count

    async def wait_readable(self):
        if not self.zeros:
            await FakeStream.wait_readable(self)

    def write(self, view):
        self.taken += len(view)
        if len(self.sent) < 100:
            self.sent.extend(view[:100])
        return len(view)


class LongPeer(Peer):
    """A Peer with such streams."""

    async def open(self):
        stream = LongStream()
        stream.feed(self.answers)
        self.streams.append(stream)
        return stream


class LengthTest(unittest.TestCase):
    def test_received_at_each_boundary_of_the_length(self):
        for length, encoded in LENGTHS:
            run(self.receive(length, encoded))

    async def receive(self, length, encoded):
        peer = LongPeer(rx_size=1024)
        await peer.start()
        total = []

        def piece(topic, view, retained, position, size):
            self.assertEqual(size, length - 3)
            self.assertEqual(position, sum(total))
            total.append(len(view))

        task = asyncio.create_task(peer.client.subscribe("#", piece, stream=True))
        await until(lambda: len(peer.stream.sent) > 20)
        peer.stream.feed(b"\x90\x03\x00\x01\x01")
        await task
        peer.stream.feed(b"\x30" + encoded + b"\x00\x01a")
        peer.stream.zeros = length - 3
        await until(lambda: sum(total) == length - 3)
        peer.task.cancel()

    def test_sent_at_each_boundary_of_the_length(self):
        gc.collect()
        zeros = memoryview(bytes(LENGTHS[-1][0]))
        for length, encoded in LENGTHS:
            run(self.send(zeros[: length - 3], encoded))

    async def send(self, payload, encoded):
        peer = LongPeer()
        await peer.start()
        stream = peer.stream
        stream.sent = bytearray()
        stream.taken = 0
        await peer.client.publish("a", payload)
        wanted = b"\x30" + encoded + b"\x00\x01a\x00\x00"
        self.assertEqual(bytes(stream.sent[: len(wanted)]), wanted)
        self.assertEqual(stream.taken, 4 + len(encoded) + len(payload))
        peer.task.cancel()


class MalformedTest(unittest.TestCase):
    def test_each_malformed_packet_ends_the_connection(self):
        async def go():
            peer = Peer(rx_size=256)
            await peer.start()
            self.assertEqual(await self.subscribed(peer), None)
            for data in MALFORMED:
                for chunk in (None, 1):
                    count = len(peer.streams)
                    peer.stream.chunk = chunk
                    peer.answers = b"\x20\x02\x01\x00"
                    peer.stream.feed(data + publish(b"after", b""))
                    await self.reconnected(peer, count, data)
            self.assertEqual(peer.got, [])

        run(go(), 60)

    async def subscribed(self, peer):
        peer.client.backoff_ms = 1
        await peer.subscribed("#")

    async def reconnected(self, peer, count, data):
        for _ in range(400):
            if len(peer.streams) > count and peer.client.connected:
                return
            await asyncio.sleep(0.005)
        raise AssertionError("taken for a packet: %r" % data)

    def test_each_malformed_connack_is_given_up(self):
        async def go():
            for answer in CONNACKS:
                peer = Peer(answers=answer + b"\x00\x00\x00\x00")
                peer.client.backoff_ms = 1
                task = asyncio.create_task(peer.client.run())
                await until(lambda peer=peer: len(peer.streams) > 1)
                self.assertFalse(peer.client.connected)
                task.cancel()

        run(go())

    def test_no_part_of_a_packet_is_taken_for_it(self):
        async def go():
            peer = Peer(rx_size=256)
            await peer.start()
            await self.subscribed(peer)
            peer.answers = b"\x20\x02\x01\x00"
            for whole in (
                publish(b"a/b", b"payload", 1, 7),
                publish(b"a/b", b"x" * 140, 2, 8),
                publish(b"a", b""),
            ):
                for size in range(len(whole)):
                    count = len(peer.streams)
                    before = peer.stream
                    sent = len(before.sent)
                    before.feed(whole[:size])
                    before.end()
                    await self.reconnected(peer, count, whole[:size])
                    self.assertEqual(len(before.sent), sent)
            self.assertEqual(peer.got, [])

        run(go(), 60)


class AnswerTest(unittest.TestCase):
    def test_acknowledgements_for_nobody_are_harmless(self):
        async def go():
            peer = Peer()
            await peer.start()
            for kind in (0x40, 0x50, 0x62, 0x70, 0xB0):
                peer.stream.feed(bytes((kind, 2, 0x12, 0x34)))
            peer.stream.feed(b"\x90\x03\x12\x34\x00\xd0\x00")
            before = len(peer.stream.sent)
            # A PUBREC is answered, or the broker asks again and again; so is a PUBREL.
            await until(lambda: len(peer.stream.sent) == before + 8)
            self.assertEqual(bytes(peer.stream.sent[before:]), b"\x62\x02\x12\x34\x70\x02\x12\x34")
            self.assertEqual(len(peer.streams), 1)

        run(go())

    def test_acknowledgements_of_the_wrong_kind_settle_nothing(self):
        async def go():
            for qos, wrong, right in (
                (1, (0x50, 0x70, 0xB0), (0x40,)),
                (2, (0x40, 0x70, 0xB0), (0x50, 0x70)),
            ):
                peer = Peer()
                await peer.start()
                task = asyncio.create_task(peer.client.publish("t", b"", qos=qos))
                await until(lambda peer=peer: len(peer.stream.writes) == 2)
                packet_id = peer.stream.writes[1][5:7]
                for kind in wrong:
                    peer.stream.feed(bytes((kind, 2)) + packet_id)
                peer.stream.feed(b"\x90\x03" + packet_id + b"\x00\xd0\x00")
                await until(lambda peer=peer: not peer.stream.incoming)
                await asyncio.sleep(0.01)
                self.assertFalse(task.done())
                for kind in right:
                    peer.stream.feed(bytes((kind, 2)) + packet_id)
                self.assertTrue(await task)
                peer.task.cancel()

        run(go())

    def test_an_acknowledgement_that_comes_twice_settles_one_message(self):
        async def go():
            peer = Peer()
            await peer.start()
            for number in range(1, 6):
                task = asyncio.create_task(peer.client.publish("t", b"", qos=1))
                await until(lambda n=number: len(peer.stream.writes) == 1 + n)
                packet_id = peer.stream.writes[number][5:7]
                self.assertEqual(packet_id, struct.pack(">H", number))
                self.assertFalse(task.done())
                peer.stream.feed((b"\x40\x02" + packet_id) * 2)
                self.assertTrue(await task)
            self.assertEqual(len(peer.streams), 1)

        run(go())

    def test_an_acknowledgement_that_comes_after_the_connection_it_is_for(self):
        async def go():
            peer = Peer()
            await peer.start()
            task = asyncio.create_task(peer.client.publish("t", b"", qos=1))
            await until(lambda: len(peer.stream.writes) == 2)
            packet_id = peer.stream.writes[1][5:7]
            # Behind the CONNACK at once: the session is kept, and so is what was acknowledged.
            peer.answers = b"\x20\x02\x01\x00\x40\x02" + bytes(packet_id)
            peer.stream.end()
            self.assertTrue(await task)
            self.assertEqual(len(peer.streams), 2)

        run(go())

    def test_messages_behind_the_connack_are_taken(self):
        async def go():
            peer = Peer()
            await peer.client.subscribe("#", peer.handler)
            peer.answers = CONNACK + b"\x90\x03\x00\x01\x01" + publish(b"a", b"1", 1, 9)
            asyncio.create_task(peer.client.run())
            await until(lambda: peer.got)
            self.assertEqual(peer.got, [("a", b"1", False)])

        run(go())


if __name__ == "__main__":
    unittest.main()
