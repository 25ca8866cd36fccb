"""Takes updates as a board does: answers offers, asks for blocks, checks each by its hash, and has
the board restart into the image.

It is to the host what mqboard.update.receiver is, and keeps to docs/protocol.md; what it does not
have is a flash. The blocks of a slot are objects that all boards share.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import mqwire
from mqhost.fleet.crowd.decode import Image, Sum, block_hash, open_message, take_out, whole
from mqhost.fleet.crowd.faults import OFFLINE, POWER
from mqhost.fleet.crowd.figures import Figures
from mqhost.fleet.crowd.offers import (
    Refusal,
    Target,
    admit,
    block_hashes,
    read_request,
    stream_of,
)
from mqhost.fleet.crowd.shared import Fetching
from mqhost.signing.keys import PublicKey
from mqhost.signing.offer import Offer
from mqwire import update as wire

_CREDIT, _REPORT_EVERY = 16, 4
_DELTA_CREDIT, _DELTA_REPORT_EVERY = 3, 1
_SHARED_REPORT_EVERY = 256  # in a broadcast
_STARVED_S = 8.0  # and then a board in a broadcast says what did not come
_SILENT_S = 3.0  # of one sender: then another one may go on
_ABANDONED_S = 60.0
_LOOK_S = 1.0  # from one look at what is under way to the next, at least
_BROADCASTS = 3  # the protocol from which on there are any
_BLANK = b"\xff" * wire.BLOCK_SIZE


class Host(Target, Protocol):
    """The board that the update is for."""

    prefix: str
    protocol: int
    keys: tuple[PublicKey, ...]
    block_s: float
    figures: Figures

    def reply(self, ident: str, seq: int, data: bytes, last: bool, qos: int = 1) -> None:
        """Send a reply."""

    def listen(self, topic: str) -> None:
        """Subscribe to blocks."""

    def ignore(self, topic: str) -> None:
        """Unsubscribe."""

    def install(self, image: Image) -> None:
        """Restart into `image`."""

    def lose_power(self) -> None:
        """Have no power for a while."""

    def go_offline(self) -> None:
        """Have no connection for a while."""


@dataclass
class _Transfer:
    """One update under way: who is answered, and what is missing. `shared`: it is a broadcast."""

    offer: Offer
    hashes: tuple[bytes, ...]
    needed: bytearray
    left: int
    ident: str = ""
    topic: str = ""
    shared: bool = False
    credit: int = 0
    report_every: int = 0
    seq: int = 0
    received: int = 0
    unreported: int = 0
    touched: float = 0.0
    busy_until: float = 0.0  # by the event loop's clock: then the blocks so far are written
    reporting: bool = False  # a report is due then


class Receiver:
    """Takes updates for `host`. `slot` is what stands in its other slot, block by block."""

    def __init__(self, host: Host) -> None:
        self.slot: list[bytes] = []
        self._host = host
        self._transfer: _Transfer | None = None
        self._fetching: Fetching | None = None
        self._later: deque[tuple[str, bytes]] = deque()  # offers that came meanwhile
        self._installed: Offer | None = None  # it is about to restart into that
        self._struck = ""  # the image in whose transfer its fault has come

    @property
    def topics(self) -> list[str]:
        """Where blocks are awaited, or the request of a broadcast."""
        return [one.topic for one in (self._transfer, self._fetching) if one]

    def reset(self) -> None:
        """Forget what is in RAM: the board has restarted."""
        if self._fetching:
            self._fetching.stop()
        self._transfer = self._installed = self._fetching = None
        self._later.clear()

    def cancel(self) -> None:
        """Drop the transfer that is under way, if there is one."""
        if self._transfer:
            self._end(self._transfer, Refusal(wire.CANCELLED))

    def hear(self, topic: str, payload: bytes, retained: bool) -> bool:
        """Take a message of blocks, or a request; return whether it was one."""
        if self._fetching and topic == self._fetching.topic:
            self._fetching.take(payload)
        elif self._transfer and topic == self._transfer.topic:
            if not retained:
                self._take(self._transfer, payload)
        else:
            return False
        return True

    # Offers

    def offer(self, ident: str, body: bytes) -> None:
        """Answer an offer: refuse it, begin with it, or join what is under way. One that comes
        while the request of a broadcast is fetched waits for that.
        """
        self._host.figures.offers += 1
        if self._fetching:
            self._later.append((ident, body))
        else:
            self._answer(ident, body)

    def _answer(self, ident: str, body: bytes) -> None:
        host = self._host
        try:
            stream = stream_of(body, host.prefix) if host.protocol >= _BROADCASTS else ""
        except Refusal as refusal:
            self._refuse(ident, refusal)
            return
        if not stream:
            self._join(ident, body)
            return

        def fetched(request: bytes | Refusal) -> None:
            self._fetching = None
            if isinstance(request, Refusal):
                self._refuse(ident, request)
            else:
                self._join(ident, request, stream)
            while self._later and not self._fetching:
                self._answer(*self._later.popleft())

        self._fetching = Fetching(host, stream, fetched)

    def _refuse(self, ident: str, refusal: Refusal) -> None:
        self._host.figures.refused += refusal.code >= wire.REFUSED
        detail = str(refusal).encode()
        self._host.reply(ident, 0, wire.pack_reply(refusal.code, 0, 0, detail), True)

    def _join(self, ident: str, request: bytes, stream: str = "") -> None:
        """Go on with what `request` offers; that came by the broadcast on the topic `stream`."""
        host = self._host
        try:
            offer, options = read_request(request, host.keys)
            topic = stream or str(options.get("topic") or mqwire.blocks_topic(host.prefix, ident))
            self._check(offer, topic, options)
        except Refusal as refusal:
            self._refuse(ident, refusal)
            return
        transfer = self._transfer or self._begin(offer)
        old, delta = transfer.topic, options.get("base") is not None
        transfer.ident, transfer.topic, transfer.seq = ident, topic, 0
        transfer.shared = bool(stream)
        transfer.credit = _DELTA_CREDIT if delta else _CREDIT
        transfer.report_every = _DELTA_REPORT_EVERY if delta else _REPORT_EVERY
        if stream:
            # In which time it writes a block, instead of a credit.
            transfer.credit = min(255, max(1, round(host.block_s * 1000)))
            transfer.report_every = _SHARED_REPORT_EVERY
        transfer.received, transfer.touched = 0, time.monotonic()
        if options.get("progress") is True and not stream:
            body = wire.pack_progress(offer.count, offer.count)
            self._say(transfer, wire.pack_reply(wire.COMPARING, 0, 0, body))
        if old != topic:
            if old:
                host.ignore(old)
            host.listen(topic)
        self._written(transfer)

    def _check(self, offer: Offer, topic: str, options: dict[str, Any]) -> None:
        """Raise Refusal unless this offer can begin a transfer, or join the one under way."""
        host = self._host
        if self._installed:
            same = self._installed.sha256 == offer.sha256
            raise Refusal(wire.INSTALLED if same else wire.BUSY, self._installed.version)
        admit(offer, host, options.get("retry_failed") is True)
        if options.get("base") not in (None, host.image.sha256 if host.image.data else None):
            raise Refusal(wire.WRONG_BASE, f"it runs {host.image.sha256}")
        under_way = self._transfer
        if under_way is None:
            return
        silent = time.monotonic() - under_way.touched
        if under_way.offer.sha256 != offer.sha256 or (
            under_way.topic != topic and silent < _SILENT_S
        ):
            raise Refusal(wire.BUSY, f"an update to {under_way.offer.version} is under way")

    # The transfer under way

    def _begin(self, offer: Offer) -> _Transfer:
        """Compare the slot with the offer."""
        self.slot += [_BLANK] * (offer.count - len(self.slot))
        hashes = block_hashes(offer.blocks)
        needed, left = bytearray(-(-offer.count // 8)), 0
        for number, wanted in enumerate(hashes):
            if block_hash(self.slot[number]) != wanted:
                wire.bitmap_put(needed, number, True)
                left += 1
        self._transfer = _Transfer(offer, hashes, needed, left)
        asyncio.get_running_loop().call_later(_STARVED_S, self._look, self._transfer)
        return self._transfer

    def _look(self, transfer: _Transfer) -> None:
        """Ask for what did not come in a broadcast, and end what gets no blocks any more."""
        if transfer is not self._transfer:
            return
        silent = time.monotonic() - transfer.touched
        if silent > _ABANDONED_S:
            self._end(transfer, Refusal(wire.CANCELLED, "no block came for a minute"))
            return
        starved = transfer.shared and silent >= _STARVED_S
        if starved and transfer.unreported and not transfer.reporting:
            self._report(transfer)
        pause = max(_LOOK_S, _STARVED_S - silent)
        asyncio.get_running_loop().call_later(pause, self._look, transfer)

    def _take(self, transfer: _Transfer, message: bytes) -> None:
        """Take a block message."""
        host = self._host
        transfer.received += 1
        transfer.unreported += 1
        host.figures.block_messages += 1
        left = transfer.left
        for record in open_message(message, host.image):
            if isinstance(record, Sum):
                self._take_sum(transfer, record)
            else:
                self._take_blocks(transfer, *record)
        loop = asyncio.get_running_loop()
        written = (left - transfer.left) * host.block_s
        transfer.busy_until = max(loop.time(), transfer.busy_until) + written
        if transfer.left < left or transfer.shared:  # which may go on for long with others' blocks
            transfer.touched = max(time.monotonic(), transfer.busy_until)
        if transfer.left < left and self._strikes(transfer):
            return
        due = not transfer.left or transfer.unreported >= transfer.report_every
        if due and not transfer.reporting:
            transfer.reporting = True
            if transfer.busy_until <= loop.time():
                self._written(transfer)
            else:
                loop.call_at(transfer.busy_until, self._written, transfer)

    def _take_blocks(self, transfer: _Transfer, number: int, blocks: tuple[bytes, ...]) -> None:
        """Keep those of the blocks from `number` on that are needed and right; a wrong one stays
        needed."""
        if number + len(blocks) > transfer.offer.count:
            return
        had = 0
        for one, block in enumerate(blocks, number):
            if wire.bitmap_get(transfer.needed, one):
                self._keep(transfer, one, block)
            else:
                had += 1
        figures = self._host.figures
        if transfer.shared:
            figures.others_blocks += had
        else:
            figures.needless_blocks += had

    def _take_sum(self, transfer: _Transfer, found: Sum) -> None:
        """Keep the one block that is needed of those in a sum; pass over it if none or several
        are."""
        if max(found.numbers) >= transfer.offer.count:
            return
        needed = [one for one in found.numbers if wire.bitmap_get(transfer.needed, one)]
        if len(needed) == 1:
            others = tuple(self.slot[one] for one in found.numbers if one != needed[0])
            self._host.figures.summed_blocks += self._keep(
                transfer, needed[0], take_out(found.total, others)
            )

    def _keep(self, transfer: _Transfer, number: int, block: bytes) -> bool:
        """Keep a block, which is needed, if it is right; return whether it is."""
        if len(block) != wire.BLOCK_SIZE or block_hash(block) != transfer.hashes[number]:
            return False
        self.slot[number] = block
        wire.bitmap_put(transfer.needed, number, False)
        transfer.left -= 1
        self._host.figures.blocks += 1
        return True

    def _strikes(self, transfer: _Transfer) -> bool:
        """Have the fault of the board come, in the middle of a transfer; return whether it did."""
        host, image = self._host, transfer.offer.sha256
        if host.fault not in (POWER, OFFLINE) or self._struck == image:
            return False
        self._struck = image
        if host.fault == POWER:
            host.lose_power()
        else:
            host.go_offline()
        return True

    def _written(self, transfer: _Transfer) -> None:
        """Say what has come, when it is written; go on when that is all."""
        transfer.reporting = False
        if transfer is self._transfer:
            if transfer.left or not transfer.shared:
                self._report(transfer)
            if not transfer.left:
                self._complete(transfer)

    def _report(self, transfer: _Transfer) -> None:
        transfer.unreported = 0
        everything = transfer.shared and transfer.left == transfer.offer.count
        needed = b"" if everything else bytes(transfer.needed)
        self._say(
            transfer,
            wire.pack_reply(wire.RECEIVING, transfer.credit, transfer.received, needed),
            qos=1 if transfer.shared else 0,
        )

    def _say(self, transfer: _Transfer, reply: bytes, qos: int = 0) -> None:
        self._host.reply(transfer.ident, transfer.seq, reply, False, qos)
        transfer.seq += 1

    def _complete(self, transfer: _Transfer) -> None:
        """Hash the whole slot, and restart into it."""
        offer = transfer.offer
        digest, data = whole(tuple(self.slot[: offer.count]), offer.size)
        if digest != offer.sha256:
            self.slot = []
            self._end(transfer, Refusal(wire.IMAGE_HASH, "the slot reads back as another image"))
            return
        self._end(transfer, Refusal(wire.INSTALLED, offer.version))
        self._installed = offer
        self._host.install(Image(offer.sha256, offer.version, offer.seq, data))

    def _end(self, transfer: _Transfer, outcome: Refusal) -> None:
        self._transfer = None
        self._host.ignore(transfer.topic)
        reply = wire.pack_reply(outcome.code, 0, 0, str(outcome).encode())
        self._host.reply(transfer.ident, transfer.seq, reply, True)
