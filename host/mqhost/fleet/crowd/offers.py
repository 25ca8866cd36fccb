"""Reads and checks offers as a board does: the request, its signature, what it says, and whether it
is for this board.

It is to the host what mqboard.update.offer is. What many boards are sent alike is read once.
"""

import functools
import json
from base64 import b64decode
from typing import Any, Protocol

import mqwire
from mqhost.errors import UsageError
from mqhost.fleet.crowd.decode import Image
from mqhost.fleet.crowd.faults import REFUSE
from mqhost.signing.keys import PublicKey
from mqhost.signing.offer import Offer
from mqwire import update as wire

_BLOCKS = "/mqb/blocks/"  # stands in all topics of blocks
_SLOT_BYTES = 0x1F0000  # as much as an image of the common partition tables may have


class Target(Protocol):
    """What a board is that takes offers."""

    board: str
    mcu: str
    image: Image
    slot_state: str
    failed: dict[str, Any] | None
    fault: str


class Refusal(Exception):
    """Raised when an update cannot be taken: a code of mqwire.update, and text for people."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(detail)
        self.code = code


def read_request(body: bytes, keys: tuple[PublicKey, ...]) -> tuple[Offer, dict[str, Any]]:
    """Return the offer and its options; raise Refusal."""
    try:
        data, signature, text = (bytes(part) for part in wire.unpack_request(body))
        if keys:
            _check_signature(data, signature, keys)
        return _parse(data), _options(text)
    except (mqwire.WireError, UsageError, ValueError, RecursionError) as error:
        raise Refusal(wire.MALFORMED, str(error)) from error


def stream_of(body: bytes, prefix: str) -> str:
    """Return the topic of the broadcast to which the board at `prefix` is sent, "" for none; raise
    Refusal.
    """
    try:
        offer, _, text = (bytes(part) for part in wire.unpack_request(body))
        stream = "" if offer else _options(text).get("stream") or ""
        if stream and not isinstance(stream, str):
            raise ValueError("not a str")
    except (mqwire.WireError, ValueError, RecursionError) as error:
        raise Refusal(wire.MALFORMED, str(error)) from error
    if stream and (_BLOCKS not in stream or stream.startswith(prefix + "/")):
        raise Refusal(wire.MALFORMED, "the blocks' topic is not one for blocks")
    return stream


def admit(offer: Offer, target: Target, retry_failed: bool) -> None:
    """Raise Refusal unless `offer` is for the board `target`, which may take it now."""
    if target.fault == REFUSE:
        raise Refusal(wire.TOO_LARGE, "it refuses every update, as it was told to")
    if offer.board != target.board:
        raise Refusal(wire.WRONG_BOARD, f"this board is {target.board}")
    if offer.mcu != target.mcu:
        raise Refusal(wire.WRONG_MCU, f"this mcu is {target.mcu}")
    if offer.sha256 == target.image.sha256:
        raise Refusal(wire.ALREADY_RUNNING, "it runs already")
    if offer.seq < target.image.seq:
        raise Refusal(wire.TOO_OLD, f"its seq is {offer.seq}; this board had {target.image.seq}")
    failed = target.failed or {}
    blamed = failed.get("image") == offer.sha256 and failed.get("code") != wire.POWER_LOST
    if blamed and not retry_failed:
        raise Refusal(wire.FAILED_BEFORE, str(failed.get("reason")))
    if offer.size > _SLOT_BYTES:
        raise Refusal(wire.TOO_LARGE, f"{offer.size} bytes do not fit the slot's {_SLOT_BYTES}")
    if target.slot_state != "valid":
        raise Refusal(wire.UNCONFIRMED, "the running image is not confirmed yet")


@functools.lru_cache(64)
def block_hashes(blocks: str) -> tuple[bytes, ...]:
    """Return how the hash of each block begins, of an offer's `blocks`."""
    data = b64decode(blocks)
    starts = range(0, len(data), wire.HASH_SIZE)
    return tuple(data[start : start + wire.HASH_SIZE] for start in starts)


def _options(text: bytes) -> dict[str, Any]:
    options = json.loads(text)
    if not isinstance(options, dict):
        raise ValueError("options are an object")
    return options


@functools.lru_cache(64)
def _parse(data: bytes) -> Offer:
    return Offer.from_bytes(data, "the offer")


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
