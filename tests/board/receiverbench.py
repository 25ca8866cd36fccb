"""Sets up an update receiver with partitions in memory and a router's request in miniature."""

import asyncio
import binascii
import hashlib
import json

from fakes import BLOCK, FakeLog, FakePartition, until

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

    def trying(self):
        return False


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
