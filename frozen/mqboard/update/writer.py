"""Writes the blocks of one image into the inactive slot: compares, decodes, checks, reads back.

    compare every block -> take block messages -> read every block back

What is in the slot already is never written again, so that the same image offered once more goes
on after anything: the slot itself is the only memory of a transfer. Flash errors are refusals.
"""

import hashlib

from micropython import const

import mqwire
from mqboard.update.decode import Decoder
from mqboard.update.errors import Refusal
from mqwire import update as wire

_SIZE = const(3)  # index into Partition.info()
_ERASE = const(6)  # Partition.ioctl: erase one block
_PIECE = const(256)  # bytes that are added at a time: numbers of more take much of the heap


class Image:
    """What is to be in the slot: as much of an accepted offer as writing needs."""

    def __init__(self, offer):
        self.version = offer.version
        self.size = offer.size
        self.seq = offer.seq
        self.sha256 = offer.sha256
        self.digest = offer.digest
        self.blocks = offer.blocks
        self.hashes = offer.hashes

    def block_hash(self, number):
        """Return the first bytes of the SHA-256 of block `number`."""
        return self.hashes[number * wire.HASH_SIZE : (number + 1) * wire.HASH_SIZE]


class SlotWriter:
    """Writes blocks of `image` into the partition `slot`, some made from `base`, the one that runs.

    `needed` is the bitmap of blocks that `slot` does not hold, `left` their number. All that is
    needed of the heap is taken here: MemoryError or OSError now, or not at all.
    """

    def __init__(self, slot, base, image, log):
        self._slot = slot
        self._log = log
        self._warned = False
        self.image = image
        self._decoder = Decoder(base, base.info()[_SIZE])
        self.needed = bytearray((image.blocks + 7) // 8)
        self._blank = bytearray(len(self.needed))  # blocks that are erased already
        self.left = 0
        blank = hashlib.sha256()  # in pieces: the heap may not have a block more
        for _ in range(wire.BLOCK_SIZE // 64):
            blank.update(b"\xff" * 64)
        self._blank_digest = blank.digest()

    def compare(self, number):
        """Look whether the slot holds block `number` already; note it as needed if not."""
        digest = self._read(number)
        if digest[: wire.HASH_SIZE] != self.image.block_hash(number):
            self.left += not wire.bitmap_get(self.needed, number)
            wire.bitmap_put(self.needed, number, True)
            wire.bitmap_put(self._blank, number, digest == self._blank_digest)

    def take(self, message):
        """Write what is needed and right of the records in `message`, a memoryview."""
        position = 0
        try:
            while position < len(message):
                number, encoding, start, position = wire.unpack_record(message, position)
                self._take_record(number, encoding, message[start:position])
        except mqwire.WireError as error:
            self._warn("a message is not one of blocks: %s", error)
        except OSError as error:
            raise Refusal(wire.FLASH_ERROR, str(error))

    def close(self):
        """Free what decoding takes of the heap: no more blocks will come."""
        self._decoder.close()

    def read_back(self, number, digest):
        """Feed what the slot holds of block `number` of the image to the hash `digest`."""
        self._read(number)
        size = min(wire.BLOCK_SIZE, self.image.size - number * wire.BLOCK_SIZE)
        digest.update(memoryview(self._decoder.block)[:size])

    def erase(self, number):
        """Erase block `number`: some block is wrong, and none says which."""
        try:
            self._slot.ioctl(_ERASE, number)
        except OSError as error:
            raise Refusal(wire.FLASH_ERROR, str(error))

    def _read(self, number):
        """Read block `number` into the block buffer; return its SHA-256."""
        try:
            self._slot.readblocks(number, self._decoder.block)
        except OSError as error:
            raise Refusal(wire.FLASH_ERROR, str(error))
        return hashlib.sha256(self._decoder.block).digest()

    def _take_record(self, number, encoding, data):
        """Write those blocks of a record that are needed and right; a wrong one stays needed."""
        if encoding == wire.XOR:
            return self._take_sum(data)
        stop = number + wire.blocks_in(encoding, data)
        if stop > self.image.blocks or not self._needs(number, stop):
            return
        for _ in range(2):
            try:
                self._decoder.begin(encoding, data)
                for block in range(number, stop):
                    self._decoder.fill(block)
                    if not self._block_is(block):
                        raise ValueError
                    self._write(block)
                return
            except ValueError:
                # Once more with a new decompressor: it may be what an earlier record left in it.
                if not self._decoder.renew():
                    break
        self._warn("block %d is not as offered", number)

    def _take_sum(self, data):
        """Write the one block that is needed of those in a sum: it is what is left of the sum
        without all others, which stand in the slot."""
        start = len(data) - wire.BLOCK_SIZE
        if start < 1 or start != 1 + 2 * data[0]:
            raise mqwire.WireError("a sum of blocks is cut short")
        numbers = [data[at] << 8 | data[at + 1] for at in range(1, start, 2)]
        needed = [n for n in numbers if n < self.image.blocks and self._needs(n, n + 1)]
        if len(needed) != 1 or max(numbers) >= self.image.blocks:
            return
        block = memoryview(self._decoder.block)
        block[:] = data[start:]
        piece = memoryview(bytearray(_PIECE))
        for number in numbers:
            if number != needed[0]:
                for at in range(0, wire.BLOCK_SIZE, _PIECE):
                    self._slot.readblocks(number, piece, at)
                    part = block[at : at + _PIECE]
                    both = int.from_bytes(part, "big") ^ int.from_bytes(piece, "big")
                    part[:] = both.to_bytes(_PIECE, "big")
        if self._block_is(needed[0]):
            self._write(needed[0])
        else:
            self._warn("block %d is not as offered", needed[0])

    def _needs(self, number, stop):
        """Return whether any of these blocks is needed."""
        while number < stop and not wire.bitmap_get(self.needed, number):
            number += 1
        return number < stop

    def _block_is(self, number):
        """Return whether the block buffer holds block `number` of the image."""
        digest = hashlib.sha256(self._decoder.block).digest()
        return digest[: wire.HASH_SIZE] == self.image.block_hash(number)

    def _write(self, number):
        if not wire.bitmap_get(self.needed, number):
            return
        if wire.bitmap_get(self._blank, number):
            wire.bitmap_put(self._blank, number, False)
            self._slot.writeblocks(number, self._decoder.block, 0)  # needs no erasing
        else:
            self._slot.writeblocks(number, self._decoder.block)
        wire.bitmap_put(self.needed, number, False)
        self.left -= 1

    def _warn(self, message, *args):
        """Log a warning, once in a transfer: the sender may have millions of them for us."""
        if not self._warned:
            self._warned = True
            self._log.warning("update: " + message, *args)
