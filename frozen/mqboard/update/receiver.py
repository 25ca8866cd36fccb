"""The update receiver: takes an offer, says which blocks it needs, writes them, checks the whole.

    offer -> scan the inactive slot -> receive blocks -> read back and hash -> install

It is told of messages by `on_blocks` (inside the MQTT reader: a block is decoded from the receive
buffer by mqboard.update.decode, checked against its hash and written) and speaks through the
current request's replies, sent by `run()`. What is in the slot already is never written again, so
that the same offer sent once more resumes after anything; nothing about a transfer is stored.
"""

import asyncio
import hashlib

from micropython import const

import mqwire
from mqboard.clock import ticks_diff, ticks_ms
from mqboard.update.decode import Decoder
from mqboard.update.errors import Refusal
from mqboard.update.offer import admit, read_request
from mqwire import update as wire

# Block messages that may be in flight, and between two replies. With differences, eight blocks may
# be in one, half a second of writing, and nothing else runs while messages are waiting.
_CREDIT = const(16)
_REPORT_EVERY = const(4)
_DELTA_CREDIT = const(3)
_DELTA_REPORT_EVERY = const(1)
_ABANDONED_MS = const(60_000)  # a transfer that gets no block for so long has ended
_SILENT_MS = const(3_000)  # and another sender may go on with it after so long

_SIZE = const(3)  # index into Partition.info()
_ERASE = const(6)  # Partition.ioctl: erase one block

# Phases.
_IDLE = const(0)
_SCANNING = const(1)
_RECEIVING = const(2)
_VERIFYING = const(3)


class Image:
    """What is to be in the slot: what is still needed of an offer once it is accepted."""

    def __init__(self, offer):
        self.version = offer.version
        self.size = offer.size
        self.sha256 = offer.sha256
        self.digest = offer.digest
        self.blocks = offer.blocks
        self.credit = _CREDIT if offer.base is None else _DELTA_CREDIT
        self.report_every = _REPORT_EVERY if offer.base is None else _DELTA_REPORT_EVERY
        self._hashes = offer.hashes

    def block_hash(self, number):
        """The first bytes of the SHA-256 of block `number`."""
        return self._hashes[number * wire.HASH_SIZE : (number + 1) * wire.HASH_SIZE]


class Receiver:
    """`slot` is the inactive app partition (None: the board has none), `base` the one that runs.
    `identity` has the attributes board, mcu, image (hex SHA-256 of what runs), slot_state, and
    for mqboard.update.offer keys, oldest and failed. `install(image)` makes the slot the one
    to boot, raising OSError; `await restart()` resets.
    """

    def __init__(self, slot, base, identity, subscribe, unsubscribe, install, restart, log):
        self._slot = slot
        self._base = base
        self._identity = identity
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._install = install
        self._restart = restart
        self._log = log
        self._wake = asyncio.Event()
        self._fault = None
        self._request = None
        self._installed = False
        self._forget()

    def _forget(self):
        self._phase = _IDLE
        self._image = None
        self._needed = None
        self._left = 0
        self._received = 0
        self._unreported = 0
        self._decoder = None
        self._topic = None
        self._blank = None
        self._warned = False
        self._touched = ticks_ms()

    def idle(self):
        """Whether there is no transfer: the time to begin `run` is when there is one."""
        return self._phase == _IDLE

    # The `update` and `cancel` commands.

    async def update(self, request):
        """Answer an offer: refuse it, or scan the slot and say which blocks are needed."""
        try:
            image, topic = self._read(request)
            await self._begin(request, image, topic)
        except Refusal as refusal:
            self._log.warning("update refused: code %d %s", refusal.code, refusal.detail)
            await request.reply(wire.pack_reply(refusal.code, 0, 0, refusal.detail.encode()))
        except MemoryError:
            await self._stop()
            await request.reply(wire.pack_reply(wire.NO_MEMORY))
        except OSError as error:
            await self._stop()
            await request.reply(wire.pack_reply(wire.FLASH_ERROR, 0, 0, str(error).encode()))
        except Exception:
            await self._stop()
            raise

    def look(self):
        """Called now and then: end a transfer that gets no more blocks."""
        if self._phase == _RECEIVING and ticks_diff(ticks_ms(), self._touched) > _ABANDONED_MS:
            self._fault = Refusal(wire.CANCELLED, "no block came for a minute")
            self._wake.set()

    async def cancel(self):
        """Drop the transfer that is under way, if any; its blocks stay in the slot."""
        if self._phase == _RECEIVING:
            await self._finish(Refusal(wire.CANCELLED))

    def _read(self, request):
        """Return (Image, topic of its blocks) of a request that is accepted; raise Refusal."""
        offer, topic = read_request(request, self._identity.keys)
        if self._installed:
            raise Refusal(wire.BUSY, "the board restarts into an update")
        admit(offer, self._identity, self._slot)
        if offer.base is not None and offer.base != self._identity.image:
            raise Refusal(wire.WRONG_BASE, "it runs " + self._identity.image)
        if self._phase != _IDLE and (
            self._phase == _VERIFYING
            or self._image.sha256 != offer.sha256
            or (self._topic != topic and ticks_diff(ticks_ms(), self._touched) < _SILENT_MS)
        ):
            raise Refusal(wire.BUSY, "an update to %s is under way" % self._image.version)
        return Image(offer), topic

    async def _begin(self, request, image, topic):
        decoder = self._decoder  # of the same transfer
        await self._stop()
        # What is needed of the heap is taken before anything is promised.
        self._decoder = decoder or Decoder(self._base, self._base.info()[_SIZE])
        self._phase = _SCANNING
        self._image = image
        self._request = request
        request.body = None
        self._needed = bytearray((image.blocks + 7) // 8)
        self._blank = bytearray(len(self._needed))  # blocks that are erased already
        self._log.info("update to %s offered: %d bytes", image.version, image.size)
        await self._scan()
        self._log.info("update needs %d of %d blocks", self._left, image.blocks)
        self._topic = topic
        self._phase = _RECEIVING
        self._touched = ticks_ms()
        await self._subscribe(topic, self.on_blocks)
        self._unreported = image.report_every
        self._wake.set()

    async def _scan(self):
        """Compare what the slot holds with the offer, block by block."""
        blank = hashlib.sha256()  # in pieces: the heap may not have a block more
        for _ in range(wire.BLOCK_SIZE // 64):
            blank.update(b"\xff" * 64)
        blank = blank.digest()
        for number in range(self._image.blocks):
            if number % 8 == 0:
                await asyncio.sleep(0)
            self._slot.readblocks(number, self._decoder.block)
            digest = hashlib.sha256(self._decoder.block).digest()
            if digest[: wire.HASH_SIZE] == self._image.block_hash(number):
                continue
            wire.bitmap_put(self._needed, number, True)
            wire.bitmap_put(self._blank, number, digest == blank)
            self._left += 1

    def _block_is(self, number):
        """Whether the block buffer holds block `number` of the image."""
        digest = hashlib.sha256(self._decoder.block).digest()
        return digest[: wire.HASH_SIZE] == self._image.block_hash(number)

    # Blocks, inside the MQTT reader.

    def on_blocks(self, topic, message, retained):
        """Take one block message: decode, check and write the records we still need.

        Returns True: writing takes long, and the watchdog must be fed before the next message.
        """
        if self._phase != _RECEIVING or self._fault:
            return True
        self._received += 1
        self._unreported += 1
        position = 0
        try:
            while position < len(message):
                number, encoding, start, position = wire.unpack_record(message, position)
                self._take_record(number, encoding, message[start:position])
        except mqwire.WireError as error:
            self._warn("a message is not one of blocks: %s", error)
        except OSError as error:
            self._fault = Refusal(wire.FLASH_ERROR, str(error))
        except MemoryError:
            self._fault = Refusal(wire.NO_MEMORY)
        if self._fault or self._left == 0 or self._unreported >= self._image.report_every:
            self._wake.set()
        return True

    def _take_record(self, number, encoding, data):
        """Write those blocks of a record that are needed and right; a wrong one stays needed."""
        stop = number + wire.blocks_in(encoding, data)
        if stop > self._image.blocks or not self._needs(number, stop):
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

    def _needs(self, number, stop):
        """Whether any of these blocks is needed."""
        while number < stop and not wire.bitmap_get(self._needed, number):
            number += 1
        return number < stop

    def _write(self, number):
        if not wire.bitmap_get(self._needed, number):
            return
        if wire.bitmap_get(self._blank, number):
            wire.bitmap_put(self._blank, number, False)
            self._slot.writeblocks(number, self._decoder.block, 0)  # needs no erasing
        else:
            self._slot.writeblocks(number, self._decoder.block)
        self._touched = ticks_ms()
        wire.bitmap_put(self._needed, number, False)
        self._left -= 1

    def _warn(self, message, *args):
        """Log a warning, once in a transfer: the sender may have millions of them for us."""
        if not self._warned:
            self._warned = True
            self._log.warning("update: " + message, *args)

    # Replies and the end.

    async def run(self):
        """Send the replies of the transfer under way, until it has ended."""
        if self._phase == _VERIFYING:  # an error ended us there
            self._phase = _RECEIVING
            self._wake.set()
        while self._phase != _IDLE:
            await self._wake.wait()
            self._wake.clear()
            if self._phase != _RECEIVING:
                continue
            if self._fault:
                await self._finish(self._fault)
            elif self._left == 0:
                await self._verify()
            elif self._unreported >= self._image.report_every:
                self._unreported = 0
                reply = wire.pack_reply(
                    wire.RECEIVING, self._image.credit, self._received, self._needed
                )
                await self._request.reply(reply, last=False, qos=0)

    async def _verify(self):
        """Read the slot back, hash it against the offer, and install it."""
        self._phase = _VERIFYING
        image = self._image
        # Nothing is needed any more: the host need not send anything again while we read.
        reply = wire.pack_reply(wire.RECEIVING, self._image.credit, self._received, self._needed)
        await self._request.reply(reply, last=False, qos=0)
        digest = hashlib.sha256()
        self._decoder.close()  # installing takes heap, too
        block = self._decoder.block
        view = memoryview(block)
        try:
            for number in range(image.blocks):
                self._slot.readblocks(number, block)
                digest.update(view[: min(wire.BLOCK_SIZE, image.size - number * wire.BLOCK_SIZE)])
                if number % 8 == 0:
                    await asyncio.sleep(0)
            if digest.digest() != image.digest:
                await self._erase(image.blocks)
                raise Refusal(wire.IMAGE_HASH, "the slot reads back as another image")
            try:
                self._install(image)
            except OSError as error:
                raise Refusal(wire.IMAGE_INVALID, str(error))
        except OSError as error:
            await self._finish(Refusal(wire.FLASH_ERROR, str(error)))
        except MemoryError:
            await self._finish(Refusal(wire.NO_MEMORY))
        except Refusal as refusal:
            await self._finish(refusal)
        else:
            self._log.info("update to %s is in place", image.version)
            self._installed = True  # from now on nobody may write into the slot
            try:
                await asyncio.wait_for(self._finish(Refusal(wire.INSTALLED, image.version)), 10)
            except Exception as error:  # nobody heard it; the birth of the new image will tell
                self._log.warning("update: %r", error)
            await self._restart()

    async def _erase(self, blocks):
        """Have the next attempt begin anew: one of these blocks is wrong, and none says which."""
        for number in range(blocks):
            self._slot.ioctl(_ERASE, number)
            await asyncio.sleep(0)

    async def _finish(self, outcome):
        request = self._request
        if outcome.code != wire.INSTALLED:
            self._log.warning("update failed: code %d %s", outcome.code, outcome.detail)
        await self._stop()
        await request.reply(wire.pack_reply(outcome.code, 0, 0, outcome.detail.encode()))

    async def _stop(self):
        topic = self._topic
        self._fault = None
        self._forget()
        self._wake.set()  # `run` sees that it is over
        if topic:
            await self._unsubscribe(topic)
