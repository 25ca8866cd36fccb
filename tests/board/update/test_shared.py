"""Tests updates by broadcast: the offer that is fetched, what is said and when, sums of blocks."""

import asyncio
import binascii
import hashlib
import unittest

from fakes import BLOCK, run, until
from receiverbench import Bench, Request, blocks_of, image_of, offer_of

from mqboard.update.errors import Refusal
from mqboard.update.shared import fetch
from mqwire import update as wire


def stream_for(body, root="fleet"):
    """Return the topic of the broadcast whose request is `body`."""
    digest = binascii.b2a_base64(hashlib.sha256(body).digest())
    return root + "/mqb/blocks/" + wire.stream_name(digest)


def sum_of(image, *numbers):
    """Return the record with the sum of these blocks."""
    blocks = blocks_of(image)
    total = bytearray(BLOCK)
    for number in numbers:
        for at, byte in enumerate(blocks[number]):
            total[at] ^= byte
    listed = b"".join([bytes((number >> 8, number & 255)) for number in numbers])
    return numbers[0], wire.XOR, bytes((len(numbers),)) + listed + bytes(total)


class SharedBench(Bench):
    """A receiver at a broker that has one message retained at `where`: `body`."""

    def __init__(self, image, blocks=8, options=b"{}", **changes):
        super().__init__(blocks)
        self.image = image
        self.body = wire.pack_request(offer_of(image, **changes), b"", options)
        self.stream = stream_for(self.body)
        self.where = self.stream + wire.STREAM_OFFER
        self.piece = 1 << 20  # bytes that come at a time
        self.lost = 0  # offers
        self.asked = []  # all topics there were

    async def subscribe(self, topic, handler, stream=False):
        if topic not in self.topics:
            self.topics.append(topic)
        self.asked.append(topic)
        if topic == self.where and len(self.asked) > self.lost:
            assert stream, "an offer may be longer than a packet"
            for at in range(0, len(self.body), self.piece):
                piece = memoryview(self.body)[at : at + self.piece]
                handler(topic, piece, True, at, len(self.body))

    async def listen(self, stream=None):
        """Send the board to the stream; return the request."""
        options = b'{"stream": "%s"}' % (stream or self.stream).encode()
        request = Request(b"", options)
        await self.receiver.update(request)
        if not self.receiver.idle() and (self.task is None or self.task.done()):
            self.task = asyncio.create_task(self.receiver.run())
        await until(lambda: request.replies)
        return request


class SharedTest(unittest.TestCase):
    def test_the_offer_comes_from_the_stream_and_then_only_what_is_needed_is_said(self):
        async def go():
            image = image_of(5 * BLOCK)
            bench = SharedBench(image, options=b'{"progress": true}')
            request = await bench.listen()
            self.assertEqual(request.replies, [(wire.RECEIVING, 0, 0, b"")])
            self.assertEqual(bench.topics, [bench.stream])
            for number, block in enumerate(blocks_of(image)):
                bench.send((number, wire.RAW, block))
            await until(lambda: request.ended)
            self.assertEqual([code for code, *_ in request.replies[1:]], [wire.INSTALLED])
            self.assertEqual((bench.installed, bench.restarts), (["2.0"], 1))

        run(go())

    def test_an_offer_comes_in_pieces(self):
        async def go():
            for piece in (1, 7, 100):
                bench = SharedBench(image_of(3 * BLOCK))
                bench.piece = piece
                self.assertEqual((await bench.listen()).code, wire.RECEIVING)
                bench.stop()

        run(go())

    def test_an_offer_that_the_stream_is_not_named_for_is_refused(self):
        async def go():
            bench = SharedBench(image_of(BLOCK))
            bench.body = wire.pack_request(offer_of(image_of(2 * BLOCK)))
            request = await bench.listen()
            self.assertEqual(request.code, wire.MALFORMED)
            self.assertIn(b"named for", request.replies[0][3])
            self.assertEqual((bench.topics, bench.slot.writes), ([], 0))
            self.assertTrue(bench.receiver.idle())

        run(go())

    def test_a_stream_without_an_offer_is_left_again(self):
        async def go():
            bench = SharedBench(image_of(BLOCK))
            bench.where = ""
            try:
                await fetch(bench.stream, bench.subscribe, bench.unsubscribe, 0.05)
            except Refusal as refusal:
                self.assertEqual(refusal.code, wire.MALFORMED)
            else:
                self.fail("there is no offer")
            self.assertEqual((bench.topics, len(bench.asked)), ([], 2))

        run(go())

    def test_an_offer_that_was_lost_is_fetched_once_more(self):
        async def go():
            bench = SharedBench(image_of(BLOCK))
            bench.lost = 1
            body = await fetch(bench.stream, bench.subscribe, bench.unsubscribe, 0.05)
            self.assertEqual((bytes(body), len(bench.asked)), (bench.body, 2))

        run(go())

    def test_no_other_topics_than_those_of_blocks_are_listened_to(self):
        async def go():
            bench = SharedBench(image_of(BLOCK))
            name = bench.stream.split("/")[-1]
            for stream in (
                "a/" + name,
                "+/mqb/blocks/" + name,
                "#/mqb/blocks/" + name,
                "$SYS/mqb/blocks/" + name,
                "p/x/mqb/blocks/" + name,
                "a/mqb/blocks/#",
            ):
                request = await bench.listen(stream)
                self.assertEqual(request.code, wire.MALFORMED, stream)
            for options in (b'{"stream": 5}', b'{"stream": ["a"]}', b"[]", b"5", b"null", b"{}"):
                request = Request(b"", options)
                await bench.receiver.update(request)
                self.assertEqual(request.code, wire.MALFORMED, options)
            self.assertEqual(bench.asked, [])

        run(go())

    def test_who_gets_no_more_blocks_says_what_is_missing_once(self):
        async def go():
            image = image_of(3 * BLOCK)
            bench = SharedBench(image)
            request = await bench.listen()
            bench.send((1, wire.RAW, blocks_of(image)[1]))
            bench.receiver.look()
            await asyncio.sleep(0.01)
            self.assertEqual(len(request.replies), 1)
            for _ in range(3):
                bench.receiver._touched -= 8_500
                bench.receiver.look()
                await asyncio.sleep(0.01)
            self.assertEqual(request.replies[1:], [(wire.RECEIVING, 0, 1, b"\xa0")])
            bench.stop()

        run(go())

    def test_blocks_for_others_keep_it_waiting(self):
        async def go():
            image = image_of(3 * BLOCK)
            bench = SharedBench(image)
            request = await bench.listen()
            bench.send((1, wire.RAW, blocks_of(image)[1]))
            bench.receiver._touched -= 59_000
            bench.send((1, wire.RAW, blocks_of(image)[1]))
            bench.receiver._touched -= 59_000
            bench.receiver.look()
            self.assertFalse(request.ended)
            bench.receiver._touched -= 2_000
            bench.receiver.look()
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.CANCELLED)

        run(go())

    def test_a_sum_gives_the_one_block_that_is_missing(self):
        async def go():
            image = image_of(5 * BLOCK - 100)
            bench = SharedBench(image)
            request = await bench.listen()
            blocks = blocks_of(image)
            for number in (0, 1, 3):
                bench.send((number, wire.RAW, blocks[number]))
            bench.send(sum_of(image, 0, 1))  # needs neither
            bench.send(sum_of(image, 0, 2, 4))  # misses two of them
            self.assertEqual(bench.receiver._writer.left, 2)
            bench.send(sum_of(image, 0, 1, 4))
            self.assertEqual(bench.receiver._writer.left, 1)
            bench.send(sum_of(image, 2, 4))
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.INSTALLED)
            self.assertEqual(bytes(bench.slot.data[: len(image)]), image)

        run(go())

    def test_a_sum_that_is_wrong_writes_nothing(self):
        async def go():
            image = image_of(3 * BLOCK)
            bench = SharedBench(image)
            await bench.listen()
            blocks = blocks_of(image)
            for number in (0, 1):
                bench.send((number, wire.RAW, blocks[number]))
            writes = bench.slot.writes
            right = sum_of(image, 0, 2)
            for data in (
                b"",
                b"\0",
                b"\1\0\2" + bytes(10),
                right[2][:-1],
                right[2] + b"\0",
                right[2][:-1] + b"\x55",
                b"\2\0\2\0\2" + right[2][5:],
                b"\2\0\2\0\3" + right[2][5:],
                b"\2\0\2\xff\xff" + right[2][5:],
            ):
                bench.send((2, wire.XOR, data))
            self.assertEqual((bench.slot.writes, bench.receiver._writer.left), (writes, 1))
            bench.send(right)
            await until(lambda: bench.installed)

        run(go())


if __name__ == "__main__":
    unittest.main()
