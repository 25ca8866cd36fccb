"""Tests the conversation of an update: joining, progress, other senders, endings."""

import asyncio
import binascii
import unittest

from fakes import BLOCK, run, until
from receiverbench import PROGRESS, Bench, blocks_of, image_of, offer_of

from mqwire import update as wire


class ReceiverTest(unittest.TestCase):
    def test_another_sender_of_the_same_image_waits_until_the_first_is_silent(self):
        async def go():
            bench = Bench()
            image = image_of(3 * BLOCK)
            first, second = b'{"topic": "p/mqb/blocks/1"}', b'{"topic": "p/mqb/blocks/2"}'
            self.assertEqual((await bench.offer(offer_of(image), first)).code, wire.RECEIVING)
            self.assertEqual((await bench.offer(offer_of(image), second)).code, wire.BUSY)
            self.assertEqual((await bench.offer(offer_of(image), first)).code, wire.RECEIVING)
            bench.receiver._touched -= 4_000
            self.assertEqual((await bench.offer(offer_of(image), second)).code, wire.RECEIVING)
            self.assertEqual(bench.topics, ["p/mqb/blocks/2"])

        run(go())

    def test_what_is_needed_of_the_heap_is_taken_before_anything_is_promised(self):
        async def go():
            def fail():
                raise MemoryError

            bench = Bench()

            bench.base.info = fail  # asked for with the buffers
            request = await bench.offer(offer_of(image_of(10)))
            self.assertEqual(request.code, wire.NO_MEMORY)
            self.assertTrue(bench.receiver.idle())
            self.assertEqual(bench.slot.writes, 0)

        run(go())

    def test_the_same_offer_joins_the_comparing_and_is_told_how_far_it_is(self):
        async def go():
            bench = Bench()
            reads = bench.note_reads()
            offer = offer_of(image_of(4 * BLOCK))
            first = await bench.offer(offer, PROGRESS)
            self.assertEqual(first.replies, [(wire.COMPARING, 0, 0, wire.pack_progress(0, 4))])
            while len(reads) < 2:
                await asyncio.sleep(0)
            again = await bench.offer(offer, PROGRESS)
            await until(lambda: again.code == wire.RECEIVING)
            self.assertEqual(reads, [0, 1, 2, 3])
            self.assertEqual(again.replies[-2], (wire.COMPARING, 0, 0, wire.pack_progress(4, 4)))
            self.assertEqual(again.replies[-1][3], b"\xf0")
            self.assertEqual({code for code, *_ in first.replies}, {wire.COMPARING})
            self.assertFalse(first.ended)
            bench.stop()

        run(go())

    def test_who_does_not_ask_for_progress_is_told_none(self):
        async def go():
            bench = Bench()
            bench.note_reads()
            request = await bench.push(image_of(4 * BLOCK))
            codes = [code for code, *_ in request.replies]
            self.assertFalse(wire.COMPARING in codes or wire.VERIFYING in codes)
            self.assertEqual(codes[-1], wire.INSTALLED)
            bench.stop()

        run(go())

    def test_the_same_offer_joins_the_verifying_and_hears_its_end(self):
        async def go():
            bench = Bench()
            image = image_of(4 * BLOCK)
            bench.slot.data[: len(image)] = image
            reads = bench.note_reads()
            first = await bench.offer(offer_of(image), PROGRESS)
            while len(reads) < 6:
                await asyncio.sleep(0)
            topic = b'{"topic": "p/mqb/blocks/other", "progress": true}'
            again = await bench.offer(offer_of(image), topic)
            self.assertEqual(again.replies[0], (wire.RECEIVING, 16, 0, b"\0"))
            await until(lambda: again.ended)
            self.assertEqual(reads, [0, 1, 2, 3] * 2)
            self.assertEqual(again.replies[-2], (wire.VERIFYING, 0, 0, wire.pack_progress(4, 4)))
            self.assertEqual((again.code, first.ended), (wire.INSTALLED, False))
            self.assertEqual((bench.installed, bench.topics), (["2.0"], []))
            bench.stop()

        run(go())

    def test_cancel_ends_the_comparing_too(self):
        async def go():
            bench = Bench()
            reads = bench.note_reads()
            request = await bench.offer(offer_of(image_of(4 * BLOCK)), PROGRESS)
            while len(reads) < 2:
                await asyncio.sleep(0)
            await bench.receiver.cancel()
            await until(lambda: request.ended)
            self.assertEqual((request.code, len(reads)), (wire.CANCELLED, 2))
            self.assertTrue(bench.receiver.idle())

        run(go())

    def test_the_same_image_with_other_blocks_does_not_join(self):
        async def go():
            bench = Bench()
            image = image_of(2 * BLOCK)
            await bench.offer(offer_of(image))
            other = str(binascii.b2a_base64(bytes(2 * wire.HASH_SIZE)), "ascii").strip()
            self.assertEqual((await bench.offer(offer_of(image, blocks=other))).code, wire.BUSY)
            bench.stop()

        run(go())

    def test_another_image_meanwhile_is_told_busy_and_the_same_one_resumes(self):
        async def go():
            bench = Bench()
            image = image_of(3 * BLOCK)
            await bench.offer(offer_of(image))
            self.assertEqual((await bench.offer(offer_of(image_of(100)))).code, wire.BUSY)
            bench.send((1, wire.RAW, blocks_of(image)[1]))
            again = await bench.offer(offer_of(image))
            self.assertEqual(again.replies[0][3], b"\xa0")
            self.assertEqual(again.replies[0][2], 0)

        run(go())

    def test_an_image_that_the_slot_refuses_is_reported(self):
        async def go():
            bench = Bench()

            def refuse(offer):
                raise OSError(-5379, "ESP_ERR_OTA_VALIDATE_FAILED")

            bench.receiver._install = refuse
            request = await bench.push(image_of(100))
            self.assertEqual(request.code, wire.IMAGE_INVALID)
            self.assertIn(b"VALIDATE", request.replies[-1][3])
            self.assertEqual(bench.restarts, 0)

        run(go())

    def test_a_transfer_that_gets_no_blocks_ends(self):
        async def go():
            bench = Bench()
            request = await bench.offer(offer_of(image_of(2 * BLOCK)))
            bench.receiver.look()
            self.assertEqual(request.code, wire.RECEIVING)
            bench.receiver._touched -= 61_000
            bench.receiver.look()
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.CANCELLED)

        run(go())

    def test_cancel_ends_the_transfer_and_tells_its_sender(self):
        async def go():
            bench = Bench()
            request = await bench.offer(offer_of(image_of(2 * BLOCK)))
            await bench.receiver.cancel()
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.CANCELLED)
            self.assertEqual(bench.topics, [])

        run(go())


if __name__ == "__main__":
    unittest.main()
