"""Receives an update: answers offers, says how far it is, takes blocks, installs the image.

    offer -> compare the inactive slot -> receive blocks -> read back and hash -> install

In a broadcast, whose offer `mqboard.update.shared` fetches, many boards listen to one sender: each
says what it needs once it has compared, and again when no more blocks come, and nothing in between.

An offer is answered at once; everything else is done by `run()`, which speaks through the replies
of the newest request. The same offer again joins what is under way, whatever that is, and starts
nothing anew. Blocks come by `on_blocks` (inside the MQTT reader) and are decoded from its buffer
into the slot by mqboard.update.writer. Nothing about a transfer is stored.
"""

import asyncio
import hashlib

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms
from mqboard.update.errors import Refusal
from mqboard.update.offer import admit, read_request
from mqboard.update.shared import fetch, stream_of
from mqboard.update.writer import Image, SlotWriter
from mqwire import update as wire

# Block messages that may be in flight, and between two replies. With differences, eight blocks may
# be in one, half a second of writing, and nothing else runs while messages are waiting.
_CREDIT = const(16)
_REPORT_EVERY = const(4)
_DELTA_CREDIT = const(3)
_DELTA_REPORT_EVERY = const(1)
_SHARED_REPORT_EVERY = const(256)  # in a broadcast, whose sender has no time for all that we say
_STARVED_MS = const(8_000)  # and then we say what did not come
_PROGRESS_MS = const(1_000)  # between two replies that say how far comparing or verifying is
_ABANDONED_MS = const(60_000)  # a transfer that gets no block for so long has ended
_SILENT_MS = const(3_000)  # and another sender may go on with it after so long

# Phases.
_IDLE = const(0)
_COMPARING = const(1)
_RECEIVING = const(2)
_VERIFYING = const(3)


class Receiver:
    """Takes updates into `slot`, the inactive app partition (None: the board has none), while
    `base` runs. `identity` has the attributes board, mcu, image (hex SHA-256 of what runs),
    slot_state, and for mqboard.update.offer keys, oldest and failed. `install(image)` makes the
    slot the one to boot, raising OSError; `await restart()` resets.
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
        self._installed = None  # the image that boots next
        self._clear()

    def _clear(self):
        self._phase = _IDLE
        self._fault = None
        self._writer = None
        self._request = None
        self._topic = None  # where the blocks are to arrive
        self._received = 0
        self._unreported = 0
        self._shared = False  # it is a broadcast
        self._done = 0  # blocks compared, or read back
        self._touched = self._said = ticks_ms()  # by its sender; and when we last said how far

    def idle(self):
        """Return whether there is no transfer: the time to begin `run` is when there is one."""
        return self._phase == _IDLE

    # The `update` and `cancel` commands.

    async def update(self, request):
        """Answer an offer: refuse it, begin with it, or join what is under way."""
        try:
            stream = stream_of(request)
            if stream:
                request.body = await fetch(stream, self._subscribe, self._unsubscribe)
            offer, topic = read_request(request, self._identity.keys, stream)
            self._check(offer, topic)
            if self._phase == _IDLE:
                self._begin(offer)
            await self._join(request, offer, topic)
            return
        except Refusal as error:
            refusal = error
        except MemoryError:
            refusal = Refusal(wire.NO_MEMORY)
        except OSError as error:
            refusal = Refusal(wire.FLASH_ERROR, str(error))
        if refusal.code >= wire.REFUSED:
            self._log.warning("update refused: code %d %s", refusal.code, refusal.detail)
        await request.reply(wire.pack_reply(refusal.code, 0, 0, refusal.detail.encode()))

    async def cancel(self):
        """Drop the transfer that is under way, if any; its blocks stay in the slot."""
        if self._phase != _IDLE and not self._installed:
            self._end(Refusal(wire.CANCELLED))

    def look(self):
        """End a transfer that gets no more blocks, or ask for more; called now and then."""
        if self._phase != _RECEIVING:
            return
        silent = ticks_diff(ticks_ms(), self._touched)
        if silent > _ABANDONED_MS:
            self._end(Refusal(wire.CANCELLED, "no block came for a minute"))
        elif self._shared and self._unreported and silent > _STARVED_MS:
            self._unreported = self._report_every
            self._wake.set()

    def _check(self, offer, topic):
        """Raise Refusal unless this offer can begin a transfer, or join the one under way."""
        if self._installed:
            same = self._installed.sha256 == offer.sha256
            text = offer.version if same else "the board restarts into an update"
            raise Refusal(wire.INSTALLED if same else wire.BUSY, text)
        admit(offer, self._identity, self._slot)
        if offer.base is not None and offer.base != self._identity.image:
            raise Refusal(wire.WRONG_BASE, "it runs " + self._identity.image)
        if self._phase == _IDLE:
            return
        image = self._writer.image
        same = offer.sha256 == image.sha256 and offer.hashes == image.hashes
        # When all blocks are there it does not matter who sent them.
        theirs = self._topic == topic or self._phase == _VERIFYING
        if not same or not (theirs or ticks_diff(ticks_ms(), self._touched) >= _SILENT_MS):
            raise Refusal(wire.BUSY, "an update to %s is under way" % image.version)

    def _begin(self, offer):
        self._clear()
        self._writer = SlotWriter(self._slot, self._base, Image(offer), self._log)
        self._phase = _COMPARING
        self._log.info("update to %s offered: %d bytes", offer.version, offer.size)

    async def _join(self, request, offer, topic):
        """Speak to the sender of `request` from now on, and say at once how far it is."""
        old = self._topic
        request.body = None
        self._request = request
        if self._phase != _VERIFYING:  # then none are awaited, but those of `old` are subscribed to
            self._topic = topic
        self._tells = offer.progress
        self._shared = offer.shared
        self._credit = _CREDIT if offer.base is None else _DELTA_CREDIT
        self._report_every = _REPORT_EVERY if offer.base is None else _DELTA_REPORT_EVERY
        if offer.shared:
            self._credit = 0  # means nothing: the broker holds what we do not take yet
            self._report_every = _SHARED_REPORT_EVERY
        self._received = 0
        self._touched = ticks_ms()
        if self._phase == _COMPARING:
            await self._tell(wire.COMPARING)
        elif self._phase == _VERIFYING:
            await self._report()
        else:
            if old != topic:
                await self._unsubscribe(old)
                await self._subscribe(topic, self.on_blocks)
            self._unreported = self._report_every
            self._wake.set()

    def _end(self, refusal):
        """Have `run` end the transfer for the reason `refusal`."""
        self._fault = refusal
        self._wake.set()

    # Blocks, inside the MQTT reader.

    def on_blocks(self, topic, message, retained):
        """Take one block message: decode, check and write the records we still need.

        Returns True: writing takes long, and the watchdog must be fed before the next message.
        """
        if self._phase != _RECEIVING or self._fault:
            return True
        self._received += 1
        self._unreported += 1
        left = self._writer.left
        try:
            self._writer.take(message)
        except Refusal as refusal:
            self._fault = refusal
        except MemoryError:
            self._fault = Refusal(wire.NO_MEMORY)
        if self._writer.left < left or self._shared:  # which may go on for long with others' blocks
            self._touched = ticks_ms()
        if self._fault or self._writer.left == 0 or self._unreported >= self._report_every:
            self._wake.set()
        return True

    # What is done with the transfer under way, and said of it.

    async def run(self):
        """Bring the transfer under way to its end; returns when there is none."""
        while self._phase != _IDLE:
            try:
                await self._step()
            except Refusal as refusal:
                await self._finish(refusal)
            except MemoryError:
                await self._finish(Refusal(wire.NO_MEMORY))

    async def _step(self):
        if self._fault:
            raise self._fault
        if self._phase == _COMPARING:
            await self._compare()
        elif self._writer.left == 0:
            await self._verify()
        elif self._unreported >= self._report_every:
            await self._report()
        else:
            await self._wake.wait()
            self._wake.clear()

    async def _compare(self):
        """Find out which blocks are needed, and have them sent."""
        writer = self._writer
        for number in range(writer.image.blocks):
            writer.compare(number)
            await self._pass(wire.COMPARING, number + 1)
        self._log.info("update needs %d of %d blocks", writer.left, writer.image.blocks)
        self._phase = _RECEIVING
        self._touched = ticks_ms()
        self._unreported = self._report_every
        await self._subscribe(self._topic, self.on_blocks)

    async def _verify(self):
        """Read the slot back, hash it against the offer, and install it."""
        self._phase = _VERIFYING
        if not self._shared:
            await self._report()  # nothing is needed: nothing need be sent while we read
        writer = self._writer
        image = writer.image
        writer.close()  # installing takes heap, too
        digest = hashlib.sha256()
        for number in range(image.blocks):
            writer.read_back(number, digest)
            await self._pass(wire.VERIFYING, number + 1)
        if digest.digest() != image.digest:
            for number in range(image.blocks):
                writer.erase(number)
                await asyncio.sleep(0)
            raise Refusal(wire.IMAGE_HASH, "the slot reads back as another image")
        try:
            self._install(image)
        except OSError as error:
            raise Refusal(wire.IMAGE_INVALID, str(error))
        self._installed = image  # from now on nobody may write into the slot
        try:
            self._log.info("update to %s is in place", image.version)
            await asyncio.wait_for(self._finish(Refusal(wire.INSTALLED, image.version)), 10)
        except Exception as error:  # nobody heard it; the birth of the new image will tell
            self._log.warning("update: %r", error)
        finally:
            await self._restart()

    async def _pass(self, code, done):
        """Let others run between two blocks, and say now and then how many are `done`."""
        self._done = done
        await asyncio.sleep(0)
        if ticks_diff(ticks_ms(), self._said) >= _PROGRESS_MS:
            await self._tell(code)
        if self._fault:
            raise self._fault

    async def _tell(self, code):
        self._said = ticks_ms()
        if self._tells:
            body = wire.pack_progress(self._done, self._writer.image.blocks)
            await self._request.reply(wire.pack_reply(code, 0, 0, body), last=False, qos=0)

    async def _report(self):
        self._unreported = 0
        writer = self._writer
        needed = writer.needed
        if self._shared and writer.left == writer.image.blocks:
            needed = b""  # all: hundreds say that at once
        reply = wire.pack_reply(wire.RECEIVING, self._credit, self._received, needed)
        await self._request.reply(reply, last=False, qos=1 if self._shared else 0)

    async def _finish(self, outcome):
        request = self._request
        topic = self._topic if self._phase != _COMPARING else None
        if outcome.code != wire.INSTALLED:
            self._log.warning("update failed: code %d %s", outcome.code, outcome.detail)
        self._clear()
        if topic:
            await self._unsubscribe(topic)
        await request.reply(wire.pack_reply(outcome.code, 0, 0, outcome.detail.encode()))
