"""Tests the blocks of an update: encodings, order, damage, flash that fails."""

import unittest

from fakes import BLOCK, run, until
from receiverbench import (
    Bench,
    blocks_of,
    copy,
    delta,
    fail_to_read,
    image_of,
    literal,
    offer_of,
    stored,
)

from mqwire import update as wire


class BlocksTest(unittest.TestCase):
    def test_images_of_every_size_around_a_block(self):
        async def go():
            for blocks in (1, 2, 8):
                for size in (-1, 0, 1):
                    length = blocks * BLOCK + size
                    if length > 8 * BLOCK:
                        continue
                    bench = Bench()
                    image = image_of(length)
                    request = await bench.push(image)
                    self.assertEqual(request.code, wire.INSTALLED, length)
                    self.assertEqual(bytes(bench.slot.data[:length]), image)
                    self.assertEqual(bench.installed, ["2.0"])
                    await until(lambda bench=bench: bench.restarts == 1)
                    self.assertEqual(bench.topics, [])
                    bench.stop()

        run(go(), 30)

    def test_deflated_blocks_in_any_order(self):
        async def go():
            bench = Bench()
            image = image_of(2 * BLOCK + 100)
            first, second, third = [stored(block) for block in blocks_of(image)]
            request = await bench.offer(offer_of(image))
            bench.send((2, wire.DEFLATE, third), (0, wire.DEFLATE, first))
            bench.send((1, wire.DEFLATE, second))
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.INSTALLED)
            self.assertEqual(bytes(bench.slot.data[: len(image)]), image)

        run(go())

    def test_delta_blocks_copy_patch_and_add_to_the_running_image(self):
        async def go():
            bench = Bench()
            base = image_of(4 * BLOCK)
            bench.base.data[: len(base)] = base
            image = bytearray(base[100 : 100 + 2 * BLOCK] + base[:BLOCK])
            image[7] = base[107] + 1  # a number's first byte
            image[300:303] = b"abc"
            image[BLOCK + 255] = (base[100 + BLOCK + 255] - 3) & 0xFF
            request = await bench.offer(offer_of(bytes(image)))
            bench.send(
                (
                    0,
                    wire.DELTA,
                    delta(
                        copy(100, b"\x07\x01", 300) + literal(b"abc") + copy(100, b"", BLOCK - 303),
                        copy(100, b"\xff\xfd"),
                        copy(-2 * BLOCK),
                    ),
                )
            )
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.INSTALLED)
            self.assertEqual(bytes(bench.slot.data[: len(image)]), bytes(image))
            self.assertEqual(bench.slot.writes, 3)

        run(go())

    def test_a_patch_adds_to_a_number_of_several_bytes(self):
        async def go():
            for was, added, is_now in (
                (0x01FF, 1, 0x0200),
                (0x0200, -1, 0x01FF),
                (0x100000, -64, 0x0FFFC0),
                (0xFFFFFF, 127, 0x100007E),
            ):
                bench = Bench()
                bench.base.data[:BLOCK] = was.to_bytes(4, "little") * (BLOCK // 4)
                image = is_now.to_bytes(4, "little") * (BLOCK // 4)
                request = await bench.offer(offer_of(image))
                count = BLOCK // 4
                gaps = b"\0" + b"\x03" * (count - 1)
                patches = b""
                for start in range(0, count, wire.BATCH):
                    batch = gaps[start : start + wire.BATCH]
                    patches += batch + bytes((added & 0xFF,)) * len(batch)
                bench.send((0, wire.DELTA, delta(copy(0, patches))))
                await until(lambda request=request: request.ended)
                self.assertEqual(request.code, wire.INSTALLED)
                bench.stop()

        run(go())

    def test_a_run_of_copied_blocks_writes_only_what_is_needed(self):
        async def go():
            bench = Bench()
            image = image_of(4 * BLOCK)
            bench.base.data[: len(image)] = image
            bench.slot.data[BLOCK : 2 * BLOCK] = image[BLOCK : 2 * BLOCK]
            request = await bench.offer(offer_of(image))
            bench.send((0, wire.DELTA, delta(*[copy(0)] * 4)))
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.INSTALLED)
            self.assertEqual(bench.slot.writes, 3)

        run(go())

    def test_instructions_that_cannot_be_are_not_followed(self):
        async def go():
            bench = Bench()
            image = image_of(3 * BLOCK)
            bench.base.data[:BLOCK] = image[:BLOCK]
            request = await bench.offer(offer_of(image))
            for instructions in (
                copy(-1),  # before the base
                copy(8 * BLOCK - 4095),  # behind it
                copy(1 << 30),
                copy(-(1 << 31)),
                copy(0, b"", BLOCK + 1),
                copy(0, b"", 0),
                copy(0, b"\xff\x01" * 3, 100),  # patches behind its end
                copy(0, bytes(2 * 101), 100) + copy(0, b"", BLOCK - 100),
                wire.pack_instruction(BLOCK, 60000, 0),
                literal(b"abc"),  # and then nothing
                b"",
            ):
                bench.send((0, wire.DELTA, delta(instructions)))
            for data in (b"", b"\0", b"\x04", b"\xff" * 50, delta(*[copy(0)] * 4)):
                bench.send((0, wire.DELTA, data))
            self.assertEqual(bench.slot.writes, 0)
            for number, block in enumerate(blocks_of(image)):
                bench.send((number, wire.DEFLATE, stored(block)))
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.INSTALLED)

        run(go())

    def test_what_a_record_leaves_behind_spoils_no_later_one(self):
        async def go():
            image = image_of(4 * BLOCK)
            blocks = blocks_of(image)
            for rest in (b"", b"\x07", b"\xff" * 40, b"\0" * 60, stored(b"xyz")):
                bench = Bench()
                request = await bench.offer(offer_of(image))
                bench.send((0, wire.DEFLATE, stored(blocks[0])[:-1] + rest))
                bench.send((1, wire.DEFLATE, stored(blocks[1])))
                final = stored(blocks[2])
                bench.send((2, wire.DEFLATE, b"\x01" + final[1:]))  # the last of its stream
                bench.send((3, wire.DEFLATE, stored(blocks[3])))
                await until(lambda request=request: request.ended)
                self.assertEqual(request.code, wire.INSTALLED)
                bench.stop()

        run(go())

    def test_only_missing_blocks_are_asked_for(self):
        async def go():
            bench = Bench()
            image = image_of(5 * BLOCK)
            bench.slot.data[BLOCK : 3 * BLOCK] = image[BLOCK : 3 * BLOCK]
            request = await bench.offer(offer_of(image))
            self.assertEqual(request.replies[0][0], wire.RECEIVING)
            self.assertEqual(request.replies[0][3], b"\x98")
            for number in (0, 3, 4):
                bench.send((number, wire.RAW, blocks_of(image)[number]))
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.INSTALLED)
            self.assertEqual(bench.slot.writes, 3)

        run(go())

    def test_out_of_order_duplicated_and_wrong_blocks(self):
        async def go():
            bench = Bench()
            image = image_of(3 * BLOCK)
            first, second, third = blocks_of(image)
            request = await bench.offer(offer_of(image))
            bench.send((2, wire.RAW, third), (2, wire.RAW, third))
            bench.send((0, wire.RAW, second))  # another block's bytes
            bench.send((1, wire.RAW, b"\x00" + second[1:]))  # a flipped bit
            bench.send((7, wire.RAW, first))  # no such block
            bench.send((0, 99, first))  # no such encoding
            bench.send((0, wire.DEFLATE, b"\xff\xff\xff"))
            bench.receiver.on_blocks("t", memoryview(b"\x00\x00\x00\x10\x00abc"), False)  # cut
            self.assertEqual(bench.slot.writes, 1)
            await until(lambda: request.replies[-1][2] >= 4)
            self.assertEqual(request.replies[-1][3], b"\xc0")
            bench.send((1, wire.RAW, second), (0, wire.RAW, first))
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.INSTALLED)
            self.assertEqual(bench.slot.writes, 3)

        run(go())

    def test_flash_that_cannot_be_read_ends_an_update_with_its_code(self):
        async def go():
            bench = Bench()
            image = image_of(2 * BLOCK)
            bench.slot.readblocks = fail_to_read
            self.assertEqual((await bench.offer(offer_of(image))).code, wire.FLASH_ERROR)
            del bench.slot.readblocks
            bench.base.readblocks = fail_to_read
            request = await bench.offer(offer_of(image))
            bench.send((0, wire.DELTA, delta(copy(0))))
            await until(lambda: request.ended)
            self.assertEqual(request.code, wire.FLASH_ERROR)

        run(go())

    def test_a_failing_flash_ends_the_update_with_its_code(self):
        async def go():
            bench = Bench()
            bench.slot.fail_after = 1
            request = await bench.push(image_of(3 * BLOCK))
            self.assertEqual(request.code, wire.FLASH_ERROR)
            self.assertEqual(bench.installed, [])
            bench.slot.fail_after = None
            self.assertEqual((await bench.push(image_of(3 * BLOCK))).code, wire.INSTALLED)

        run(go())

    def test_a_wrong_image_hash_is_found_on_reading_back(self):
        async def go():
            bench = Bench()
            request = await bench.push(image_of(3 * BLOCK), sha256="ab" * 32)
            self.assertEqual(request.code, wire.IMAGE_HASH)
            self.assertEqual(bench.installed, [])
            # None of its blocks is trusted by the next attempt.
            self.assertEqual(bench.slot.data[: 3 * BLOCK], b"\xff" * (3 * BLOCK))

        run(go())


if __name__ == "__main__":
    unittest.main()
