"""Tests the update receiver, with partitions in memory and a router's request in miniature."""

import asyncio
import binascii
import hashlib
import json
import unittest

from fakes import BLOCK, FakeLog, FakePartition, run, until

import mqwire
from mqboard.update.receiver import Receiver
from mqwire import update as wire


def stored(data):
    """Return raw deflate of `data` as one stored block (RFC 1951, 3.2.4): needs no compressor.
    Behind it the first byte of a flush, as in every record.
    """
    size = len(data)
    return bytes((0, size & 255, size >> 8, ~size & 255, ~size >> 8 & 255)) + data + b"\0"


def delta(*blocks):
    """Return the data of a DELTA record with the instructions of these blocks."""
    return bytes((len(blocks),)) + stored(b"".join(blocks))


def copy(distance, patches=b"", length=BLOCK):
    return wire.pack_instruction(length, len(patches) // 2, distance) + patches


def literal(data):
    return wire.pack_instruction(len(data), wire.LITERAL, 0) + data


def fail_to_read(*_):
    raise OSError(5)


def image_of(size):
    """Return `size` bytes in which every block is different."""
    pattern = bytes(range(251))
    return b"".join(
        [bytes((n & 255, n >> 8)) + (pattern * 17)[: BLOCK - 2] for n in range(size // BLOCK + 1)]
    )[:size]


def blocks_of(image):
    padded = image + b"\xff" * (-len(image) % BLOCK)
    return [padded[n : n + BLOCK] for n in range(0, len(padded), BLOCK)]


def offer_of(image, **changes):
    hashes = b"".join([hashlib.sha256(b).digest()[: wire.HASH_SIZE] for b in blocks_of(image)])
    fields = {
        "format": 1,
        "board": "sim",
        "mcu": "esp32",
        "version": "2.0",
        "seq": 5,
        "size": len(image),
        "sha256": str(binascii.hexlify(hashlib.sha256(image).digest()), "ascii"),
        "block_size": BLOCK,
        "blocks": str(binascii.b2a_base64(hashes), "ascii").strip(),
    }
    fields.update(changes)
    return json.dumps(fields).encode()


PROGRESS = b'{"progress": true}'


class Request:
    """What the receiver sees of a command: collects replies (code, credit, received, body)."""

    prefix = "p"
    ident = "12345678"

    def __init__(self, offer, options=b"{}"):
        self.body = wire.pack_request(offer, b"", options)
        self.replies = []
        self.ended = False

    async def reply(self, data=b"", last=True, qos=1):
        self.ended = last
        self.replies.append(data if data == b"OK" else wire.unpack_reply(data))
        return True

    @property
    def code(self):
        return self.replies[-1][0]


class Identity:
    board = "sim"
    mcu = "esp32"
    image = "00"
    slot_state = "valid"
    keys = ()
    oldest = 0
    failed = None


class Bench:
    """A receiver with everything around it."""

    def __init__(self, blocks=8):
        self.slot = FakePartition(blocks)
        self.base = FakePartition(blocks, "ota_0")
        self.topics = []
        self.installed = []
        self.restarts = 0
        self.identity = Identity()
        self.receiver = Receiver(
            self.slot,
            self.base,
            self.identity,
            self.subscribe,
            self.unsubscribe,
            self.install,
            self.restart,
            FakeLog(),
        )
        self.task = None

    def stop(self):
        if self.task:
            self.task.cancel()

    def note_reads(self):
        """Return the list of blocks of the slot read from now on; progress is told after each."""
        reads = []
        read = self.slot.readblocks

        def readblocks(number, *arguments):
            reads.append(number)
            self.receiver._said -= 2_000
            read(number, *arguments)

        self.slot.readblocks = readblocks
        return reads

    async def subscribe(self, topic, handler):
        self.topics.append(topic)

    async def unsubscribe(self, topic):
        self.topics.remove(topic)

    def install(self, offer):
        self.installed.append(offer.version)

    async def restart(self):
        self.restarts += 1

    async def offer(self, offer, options=b"{}"):
        request = Request(offer, options)
        await self.receiver.update(request)
        if not self.receiver.idle() and (self.task is None or self.task.done()):
            self.task = asyncio.create_task(self.receiver.run())
        await until(lambda: request.replies)
        return request

    def send(self, *records):
        message = b"".join([wire.pack_record(*record) for record in records])
        self.receiver.on_blocks("t", memoryview(message), False)

    async def push(self, image, **changes):
        request = await self.offer(offer_of(image, **changes))
        for number, block in enumerate(blocks_of(image)):
            if request.code == wire.RECEIVING and wire.bitmap_get(request.replies[0][3], number):
                self.send((number, wire.RAW, block))
        await until(lambda: request.ended)
        return request


class UpdateTest(unittest.TestCase):
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

    def test_the_base_has_to_be_what_runs(self):
        async def go():
            bench = Bench()
            image = offer_of(image_of(10))
            for base in (b'"ff"', b"5", b"[]"):
                request = await bench.offer(image, b'{"base": %s}' % base)
                self.assertEqual(request.code, wire.WRONG_BASE)
            request = await bench.offer(image, b'{"base": "00"}')
            self.assertEqual(request.code, wire.RECEIVING)

        run(go())

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

    def test_what_does_not_belong_here_is_refused_before_a_write(self):
        async def go():
            image = image_of(BLOCK)
            for changes, code in (
                ({"board": "esp32c3"}, wire.WRONG_BOARD),
                ({"mcu": "esp32c3"}, wire.WRONG_MCU),
                ({"format": 2}, wire.MALFORMED),
                ({"size": -1}, wire.MALFORMED),
                ({"size": "4096"}, wire.MALFORMED),
                ({"size": True}, wire.MALFORMED),
                ({"size": 9000}, wire.MALFORMED),
                ({"sha256": "zz"}, wire.MALFORMED),
                ({"sha256": "abcd"}, wire.MALFORMED),
                ({"blocks": ""}, wire.MALFORMED),
                ({"blocks": None}, wire.MALFORMED),
                ({"version": 3}, wire.MALFORMED),
                ({"seq": None}, wire.MALFORMED),
            ):
                bench = Bench()
                request = await bench.push(image, **changes)
                self.assertEqual(request.code, code, changes)
                self.assertEqual(bench.slot.writes, 0)
                bench.stop()
            bench = Bench(blocks=2)
            request = await bench.push(image_of(2 * BLOCK + 1))
            self.assertEqual(request.code, wire.TOO_LARGE)

        run(go())

    def test_garbage_instead_of_an_offer_is_malformed(self):
        async def go():
            for data in (b"", b"{", b"[]", b"\xff\xfe", b"{}", b"null"):
                bench = Bench()
                self.assertEqual((await bench.offer(data)).code, wire.MALFORMED)
                bench.stop()
            for options in (b"", b"[]", b'{"topic": 5}', b'{"topic": "a/#"}'):
                bench = Bench()
                request = await bench.offer(offer_of(image_of(10)), options)
                self.assertEqual(request.code, wire.MALFORMED, options)
                bench.stop()

        run(go())

    def test_the_running_image_is_not_taken_again(self):
        async def go():
            bench = Bench()
            image = image_of(10)
            bench.identity.image = json.loads(offer_of(image))["sha256"]
            self.assertEqual((await bench.push(image)).code, wire.ALREADY_RUNNING)

        run(go())

    def test_an_unconfirmed_board_keeps_its_way_back(self):
        async def go():
            bench = Bench()
            bench.identity.slot_state = "pending"
            self.assertEqual((await bench.push(image_of(10))).code, wire.UNCONFIRMED)
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

    def test_what_is_older_than_confirmed_is_refused_and_the_same_seq_is_not(self):
        async def go():
            for oldest, code in ((6, wire.TOO_OLD), (5, wire.INSTALLED)):
                bench = Bench()
                bench.identity.oldest = oldest
                request = await bench.push(image_of(10))
                self.assertEqual(request.code, code)
                bench.stop()

        run(go())

    def test_an_image_that_was_rolled_back_is_taken_again_only_when_that_is_asked_for(self):
        async def go():
            image = image_of(10)
            sha256 = json.loads(offer_of(image))["sha256"]
            failed = {"image": sha256, "version": "2.0", "code": wire.CRASH, "reason": "it fell"}
            bench = Bench()
            bench.identity.failed = failed
            request = await bench.push(image)
            self.assertEqual(
                (request.code, request.replies[-1][3]), (wire.FAILED_BEFORE, b"it fell")
            )
            self.assertEqual(bench.slot.writes, 0)
            for options in (b'{"retry_failed": 1}', b'{"retry_failed": null}'):
                request = await bench.offer(offer_of(image), options)
                self.assertEqual(request.code, wire.FAILED_BEFORE)
            request = await bench.offer(offer_of(image), b'{"retry_failed": true}')
            self.assertEqual(request.code, wire.RECEIVING)
            bench.stop()
            bench = Bench()
            bench.identity.failed = dict(failed, code=wire.POWER_LOST)
            self.assertEqual((await bench.push(image)).code, wire.INSTALLED)
            bench.stop()

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

    def test_topics_of_our_own_and_filters_are_no_topics_for_blocks(self):
        async def go():
            ours = "p/log", "p/mqb/status", "p/mqb/cmd/x/y", "p/mqb/cmd/x/mqb/blocks/1"
            others = "house/lamp", "a/mqb/blocks/+", "#", "$SYS/mqb/blocks/x", "a/mqb/blocks/\x00b"
            for topic in ours + others:
                bench = Bench()
                options = json.dumps({"topic": topic}).encode()
                request = await bench.offer(offer_of(image_of(10)), options)
                self.assertEqual(request.code, wire.MALFORMED, topic)
                if bench.task:
                    bench.task.cancel()

        run(go())

    def test_blocks_may_arrive_below_every_prefix(self):
        async def go():
            most = mqwire.MAX_TOPIC - len(mqwire.blocks_topic("", "12345678"))
            for root in ("p", "küche/licht 1", "other", "é" * (most // 2), "x" * most):
                bench = Bench()
                topic = mqwire.blocks_topic(root, "12345678")
                options = json.dumps({"topic": topic}).encode()
                request = await bench.offer(offer_of(image_of(10)), options)
                self.assertEqual((request.code, bench.topics), (wire.RECEIVING, [topic]))
                bench.stop()

        run(go())

    def test_a_version_is_shown_as_it_is_and_not_too_long(self):
        async def go():
            image = image_of(10)
            for version, code in (
                ("v" * (wire.MAX_VERSION - 1), wire.INSTALLED),
                ("v" * wire.MAX_VERSION, wire.INSTALLED),
                ("v" * (wire.MAX_VERSION + 1), wire.MALFORMED),
                ("é" * (wire.MAX_VERSION // 2), wire.INSTALLED),
                ("é" * (wire.MAX_VERSION // 2) + "v", wire.MALFORMED),
                ("", wire.MALFORMED),
                ("1\x1b[2J", wire.MALFORMED),
                ("\ud800", wire.MALFORMED),  # in the birth message it would be no UTF-8
            ):
                bench = Bench()
                self.assertEqual((await bench.push(image, version=version)).code, code, version)
                bench.stop()

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
