"""Attacks the update receiver on both runtimes: their json, recursion and memory differ."""

import asyncio
import json
import random
import unittest

from fakes import BLOCK, run, until
from receiverbench import Bench, Request, blocks_of, image_of, offer_of

import mqwire
from mqwire import update as wire

DEEP = 7000  # brackets: as many as a request has room for
VALUES = (
    None, True, -1, 0, 1.5, 1 << 31, 1 << 63, 10**30, 1e300, "", "x", "ff" * 32, "\0", "a/#",
    "A" * 3000, [], {}, [[]], {"a": 1}, ["x"] * 100, "=", "AAAA",
)  # fmt: skip
TEXTS = (
    b"", b"{", b"}", b"[]", b"null", b"0", b'"', b"\xff\xfe", b"\xed\xa0\x80", b"{}x", b'{"a":}',
    b"1" * 4400, b"-" * 100, b"[" * DEEP, b'{"a":' * (DEEP // 5), b'{"format":' + b"[" * DEEP,
    b'"\\ud800"', b'{"format":1e999}', b"NaN", b"Infinity", b"\0" * 100, b"\x80" * 5000,
)  # fmt: skip
# Below which blocks may not arrive: a broker may cut off who asks for such a topic.
ROOTS = ("a/\x7f", "\x1f", "a/\u0085", "a\ud800", "a/+", "#", "$SYS", "x" * mqwire.MAX_TOPIC)


class FaultsTest(unittest.TestCase):
    async def refused(self, bench, body):
        """Send an update request of these bytes; it must be refused."""
        request = Request(b"")
        request.body = body
        await bench.receiver.update(request)
        self.assertEqual(len(request.replies), 1)
        self.assertTrue(request.ended)
        self.assertTrue(wire.REFUSED <= request.code < wire.FAILED)
        self.assertTrue(bench.receiver.idle())
        self.assertEqual(bench.slot.writes, 0)

    def test_offers_and_options_that_are_nonsense_are_refused(self):
        async def go():
            bench = Bench()
            good = offer_of(image_of(100))
            for text in TEXTS:
                await self.refused(bench, wire.pack_request(text))
                if text[:1] != b"{":  # MicroPython is lenient with these: no options
                    await self.refused(bench, wire.pack_request(good, b"", text))
            self.assertEqual((await bench.push(image_of(100))).code, wire.INSTALLED)
            bench.stop()

        run(go(), 60)

    def test_every_field_with_every_wrong_value_is_refused(self):
        async def go():
            bench = Bench()
            image = image_of(100)
            fields = json.loads(offer_of(image))
            for name in ("format", "board", "mcu", "size", "sha256", "block_size", "blocks"):
                for value in VALUES:
                    if (name, value) in (("format", True), ("sha256", "ff" * 32)):
                        continue  # equal to the right one; and possible
                    wrong = dict(fields)
                    wrong[name] = value
                    await self.refused(bench, wire.pack_request(json.dumps(wrong).encode()))
                del wrong[name]
                await self.refused(bench, wire.pack_request(json.dumps(wrong).encode()))
            self.assertEqual((await bench.push(image)).code, wire.INSTALLED)
            bench.stop()

        run(go(), 60)

    def test_topics_that_a_broker_may_cut_us_off_for_are_refused(self):
        async def go():
            bench = Bench()
            for root in ROOTS:
                options = json.dumps({"topic": mqwire.blocks_topic(root, "1")}).encode()
                await self.refused(bench, wire.pack_request(offer_of(image_of(10)), b"", options))

        run(go())

    def test_damaged_requests_get_an_answer(self):
        async def go():
            chance = random
            chance.seed(3)
            image = image_of(2 * BLOCK)
            good = wire.pack_request(offer_of(image))
            for _ in range(150):
                bench = Bench()
                body = bytearray(good)
                for _ in range(chance.randrange(1, 4)):
                    body[chance.randrange(len(body))] = chance.randrange(256)
                request = Request(b"")
                request.body = body[: chance.randrange(len(body)) if chance.randrange(2) else None]
                await bench.receiver.update(request)
                if bench.receiver.idle():
                    self.assertTrue(wire.REFUSED <= request.code < wire.FAILED)
                self.assertEqual(bench.slot.writes, 0)

        run(go(), 60)

    def test_records_with_hostile_numbers_do_no_harm(self):
        async def go():
            chance = random
            chance.seed(4)
            image = image_of(5 * BLOCK + 1000)
            bench = Bench()
            request = await bench.offer(offer_of(image))
            for _ in range(400):
                record = bytearray(wire.pack_record(
                    chance.choice((0, 1, 5, 6, 255, 65535)),
                    chance.choice((0, 1, 2, 2, 3, 255)),
                    bytes([chance.randrange(256) for _ in range(chance.choice((0, 1, 9, 60)))]),
                ))  # fmt: skip
                if chance.randrange(4) == 0:
                    record[chance.randrange(len(record))] = chance.randrange(256)
                bench.receiver.on_blocks("t", memoryview(record), False)
            self.assertEqual(bench.slot.writes, 0)
            for number, block in enumerate(blocks_of(image)):
                bench.send((number, wire.RAW, block))
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.INSTALLED)
            self.assertEqual(bytes(bench.slot.data[: len(image)]), image)
            bench.stop()

        run(go(), 60)

    def test_nobody_writes_into_an_installed_slot_before_the_restart(self):
        async def go():
            bench = Bench()
            restarting = asyncio.Event()

            async def restart():
                restarting.set()
                await asyncio.sleep(60)

            bench.receiver._restart = restart
            image = image_of(3 * BLOCK)
            self.assertEqual((await bench.push(image)).code, wire.INSTALLED)
            await restarting.wait()
            for other, code in ((image_of(2 * BLOCK), wire.BUSY), (image, wire.INSTALLED)):
                again = Request(offer_of(other))
                await bench.receiver.update(again)
                self.assertEqual(again.code, code)
            bench.send((0, wire.RAW, bytes(BLOCK)))
            self.assertEqual(bytes(bench.slot.data[: len(image)]), image)
            bench.stop()

        run(go())

    def test_a_board_restarts_into_what_it_installed_though_it_has_no_memory_to_say_so(self):
        async def go():
            bench = Bench()

            def full(*_):
                raise MemoryError

            def install(image):
                log = bench.receiver._log
                log.info = log.warning = full

            bench.receiver._install = install
            image = image_of(3 * BLOCK)
            await bench.offer(offer_of(image))
            for number, block in enumerate(blocks_of(image)):
                bench.send((number, wire.RAW, block))
            await until(lambda: bench.restarts == 1)
            bench.stop()

        run(go())


if __name__ == "__main__":
    unittest.main()
