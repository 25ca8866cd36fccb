"""Takes updates as a board does: answers offers, asks for blocks, checks each by its hash, and has
the board restart into the image.

It is to the host what mqboard.update.receiver is, and keeps to docs/protocol.md; what it does not
have is a flash. The blocks of a slot are objects that all boards share.
"""

import asyncio
import functools
import hashlib
import json
import time
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, Protocol

import mqwire
from mqhost.errors import UsageError
from mqhost.fleet.crowd.decode import Image, decode
from mqhost.fleet.crowd.faults import OFFLINE, POWER, REFUSE
from mqhost.fleet.crowd.figures import Figures
from mqhost.signing.keys import PublicKey
from mqhost.signing.offer import Offer
from mqwire import update as wire

_CREDIT, _REPORT_EVERY = 16, 4
_DELTA_CREDIT, _DELTA_REPORT_EVERY = 3, 1
_SILENT_S = 3.0  # of one sender: then another one may go on
_ABANDONED_S = 60.0
_SLOT_BYTES = 0x1F0000  # as much as an image of the common partition tables may have
_BLANK = b"\xff" * wire.BLOCK_SIZE


class Host(Protocol):
    """The board that the update is for."""

    prefix: str
    image: Image
    slot_state: str
    failed: dict[str, Any] | None
    fault: str
    keys: tuple[PublicKey, ...]
    board: str
    mcu: str
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


class Refusal(Exception):
    """Raised when an update cannot be taken: a code of mqwire.update, and text for people."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(detail)
        self.code = code


@dataclass
class _Transfer:
    """One update under way: who is answered, and what is missing."""

    offer: Offer
    hashes: tuple[bytes, ...]
    ident: str
    topic: str
    credit: int
    report_every: int
    needed: bytearray
    left: int
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
        self._installed: Offer | None = None  # it is about to restart into that
        self._struck = ""  # the image in whose transfer its fault has come

    @property
    def topic(self) -> str | None:
        """Where blocks are awaited, None for nowhere."""
        return self._transfer.topic if self._transfer else None

    def reset(self) -> None:
        """Forget what is in RAM: the board has restarted."""
        self._transfer = self._installed = None

    def cancel(self) -> None:
        """Drop the transfer that is under way, if there is one."""
        if self._transfer:
            self._end(self._transfer, Refusal(wire.CANCELLED))

    def offer(self, ident: str, body: bytes) -> None:
        """Answer an offer: refuse it, begin with it, or join what is under way."""
        host = self._host
        host.figures.offers += 1
        try:
            offer, options = self._read(body)
            topic = str(options.get("topic") or mqwire.blocks_topic(host.prefix, ident))
            self._check(offer, topic, options)
        except Refusal as refusal:
            host.figures.refused += refusal.code >= wire.REFUSED
            detail = str(refusal).encode()
            host.reply(ident, 0, wire.pack_reply(refusal.code, 0, 0, detail), True)
            return
        transfer, old = self._transfer or self._begin(offer), self.topic
        transfer.ident, transfer.topic, transfer.seq = ident, topic, 0
        delta = options.get("base") is not None
        transfer.credit = _DELTA_CREDIT if delta else _CREDIT
        transfer.report_every = _DELTA_REPORT_EVERY if delta else _REPORT_EVERY
        transfer.received, transfer.touched = 0, time.monotonic()
        if options.get("progress") is True:
            body = wire.pack_progress(offer.count, offer.count)
            self._say(transfer, wire.pack_reply(wire.COMPARING, 0, 0, body))
        if old != topic:
            if old:
                host.ignore(old)
            host.listen(topic)
        self._report(transfer)
        if not transfer.left:
            self._complete(transfer)

    def take(self, message: bytes) -> None:
        """Take a block message."""
        transfer, host = self._transfer, self._host
        if transfer is None:
            return
        transfer.received += 1
        transfer.unreported += 1
        host.figures.block_messages += 1
        left, at = transfer.left, 0
        try:
            while at < len(message):
                number, encoding, start, at = wire.unpack_record(message, at)
                self._take_record(transfer, number, encoding, message[start:at])
        except mqwire.WireError:
            pass  # as the board does: it is no message of blocks
        if transfer.left < left:
            transfer.touched = time.monotonic()
            if self._strikes(transfer):
                return
        loop = asyncio.get_running_loop()
        written = (left - transfer.left) * host.block_s
        transfer.busy_until = max(loop.time(), transfer.busy_until) + written
        due = not transfer.left or transfer.unreported >= transfer.report_every
        if due and not transfer.reporting:
            transfer.reporting = True
            if transfer.busy_until <= loop.time():
                self._written(transfer)
            else:
                loop.call_at(transfer.busy_until, self._written, transfer)

    # Offers

    def _read(self, body: bytes) -> tuple[Offer, dict[str, Any]]:
        """Return the offer and its options; raise Refusal, as mqboard.update.offer does."""
        try:
            data, signature, text = (bytes(part) for part in wire.unpack_request(body))
            if keys := self._host.keys:
                _check_signature(data, signature, keys)
            options = json.loads(text)
            if not isinstance(options, dict):
                raise ValueError("options are an object")
            return _parse(data), options
        except (mqwire.WireError, UsageError, ValueError, RecursionError) as error:
            raise Refusal(wire.MALFORMED, str(error)) from error

    def _check(self, offer: Offer, topic: str, options: dict[str, Any]) -> None:
        """Raise Refusal unless this offer can begin a transfer, or join the one under way."""
        host = self._host
        if self._installed:
            same = self._installed.sha256 == offer.sha256
            raise Refusal(wire.INSTALLED if same else wire.BUSY, self._installed.version)
        self._admit(offer, options.get("retry_failed") is True)
        if options.get("base") not in (None, host.image.sha256 if host.image.data else None):
            raise Refusal(wire.WRONG_BASE, f"it runs {host.image.sha256}")
        under_way = self._transfer
        if under_way is None:
            return
        silent = time.monotonic() - under_way.touched
        if silent > _ABANDONED_S:
            self._end(under_way, Refusal(wire.CANCELLED, "no block came for a minute"))
        elif under_way.offer.sha256 != offer.sha256 or (
            under_way.topic != topic and silent < _SILENT_S
        ):
            raise Refusal(wire.BUSY, f"an update to {under_way.offer.version} is under way")

    def _admit(self, offer: Offer, retry_failed: bool) -> None:
        host = self._host
        if host.fault == REFUSE:
            raise Refusal(wire.TOO_LARGE, "it refuses every update, as it was told to")
        if offer.board != host.board:
            raise Refusal(wire.WRONG_BOARD, f"this board is {host.board}")
        if offer.mcu != host.mcu:
            raise Refusal(wire.WRONG_MCU, f"this mcu is {host.mcu}")
        if offer.sha256 == host.image.sha256:
            raise Refusal(wire.ALREADY_RUNNING, "it runs already")
        if offer.seq < host.image.seq:
            raise Refusal(wire.TOO_OLD, f"its seq is {offer.seq}; this board had {host.image.seq}")
        failed = host.failed or {}
        blamed = failed.get("image") == offer.sha256 and failed.get("code") != wire.POWER_LOST
        if blamed and not retry_failed:
            raise Refusal(wire.FAILED_BEFORE, str(failed.get("reason")))
        if offer.size > _SLOT_BYTES:
            raise Refusal(wire.TOO_LARGE, f"{offer.size} bytes do not fit the slot's {_SLOT_BYTES}")
        if host.slot_state != "valid":
            raise Refusal(wire.UNCONFIRMED, "the running image is not confirmed yet")

    # The transfer under way

    def _begin(self, offer: Offer) -> _Transfer:
        """Compare the slot with the offer."""
        self.slot += [_BLANK] * (offer.count - len(self.slot))
        hashes = _hashes(offer.blocks)
        needed, left = bytearray(-(-offer.count // 8)), 0
        for number, wanted in enumerate(hashes):
            if _hash(self.slot[number]) != wanted:
                wire.bitmap_put(needed, number, True)
                left += 1
        self._transfer = _Transfer(offer, hashes, "", "", 0, 0, needed, left)
        return self._transfer

    def _take_record(self, transfer: _Transfer, number: int, encoding: int, data: bytes) -> None:
        """Keep the blocks of a record that are needed and right; a wrong one stays needed."""
        count, host = wire.blocks_in(encoding, data), self._host
        if number + count > transfer.offer.count:
            return
        wanted = [
            one for one in range(number, number + count) if wire.bitmap_get(transfer.needed, one)
        ]
        host.figures.needless_blocks += count - len(wanted)
        if not wanted:
            return
        try:
            blocks = decode(number, encoding, data, host.image)
        except ValueError:
            return
        for one in wanted:
            block = blocks[one - number]
            if len(block) == wire.BLOCK_SIZE and _hash(block) == transfer.hashes[one]:
                self.slot[one] = block
                wire.bitmap_put(transfer.needed, one, False)
                transfer.left -= 1
                host.figures.blocks += 1

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
            self._report(transfer)
            if not transfer.left:
                self._complete(transfer)

    def _report(self, transfer: _Transfer) -> None:
        transfer.unreported = 0
        needed = bytes(transfer.needed)
        self._say(
            transfer,
            wire.pack_reply(wire.RECEIVING, transfer.credit, transfer.received, needed),
        )

    def _say(self, transfer: _Transfer, reply: bytes) -> None:
        self._host.reply(transfer.ident, transfer.seq, reply, False, qos=0)
        transfer.seq += 1

    def _complete(self, transfer: _Transfer) -> None:
        """Hash the whole slot, and restart into it."""
        offer = transfer.offer
        data = b"".join(self.slot[: offer.count])[: offer.size]
        if hashlib.sha256(data).hexdigest() != offer.sha256:
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


@functools.lru_cache(64)
def _parse(data: bytes) -> Offer:
    return Offer.from_bytes(data, "the offer")


@functools.lru_cache(64)
def _hashes(blocks: str) -> tuple[bytes, ...]:
    data = b64decode(blocks)
    starts = range(0, len(data), wire.HASH_SIZE)
    return tuple(data[start : start + wire.HASH_SIZE] for start in starts)


@functools.lru_cache(64)
def _check_signature(data: bytes, signature: bytes, keys: tuple[PublicKey, ...]) -> None:
    """Raise Refusal unless one of `keys` signed the offer `data`."""
    if not signature:
        raise Refusal(wire.BAD_SIGNATURE, "it is not signed")
    name = _parse(data).key
    for key in keys:
        if key.id == name:
            if not key.signed(data, signature):
                raise Refusal(wire.BAD_SIGNATURE, f"it is not that of key {name}")
            return
    known = ", ".join(key.id for key in keys)
    raise Refusal(wire.UNKNOWN_KEY, f"it names key {name or 'none'}; this board knows {known}")


def _hash(block: bytes) -> bytes:
    return hashlib.sha256(block).digest()[: wire.HASH_SIZE]
