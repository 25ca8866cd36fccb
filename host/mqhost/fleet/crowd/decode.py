"""Decodes block messages with zlib; what many boards are sent alike is decoded and hashed once.

The formats are those of mqwire.update. All is found again by its content, so that a board has of a
message what it would have made of it alone.
"""

import functools
import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import mqwire
from mqwire import update as wire

# What is kept: of the messages of a few updates at once, and blocks of a few images.
_MESSAGES, _BLOCKS, _SUMS, _IMAGES = 1024, 4096, 256, 16


@dataclass(frozen=True, eq=False)
class Image:
    """An app image: `data` are its bytes, b"" of one that nobody has."""

    sha256: str
    version: str
    seq: int
    data: bytes = field(default=b"", repr=False)


def made_up(board: str, version: str = "0.0.0") -> Image:
    """Return an image that nobody has, for a type of board."""
    return Image(hashlib.sha256(f"crowd {board} {version}".encode()).hexdigest(), version, 0)


@dataclass(frozen=True)
class Sum:
    """Blocks that were XORed, by their `numbers`, and what they made."""

    numbers: tuple[int, ...]
    total: bytes


@functools.lru_cache(_MESSAGES)
def open_message(message: bytes, base: Image) -> tuple[tuple[int, tuple[bytes, ...]] | Sum, ...]:
    """Return what the records of a message hold: the number of the first block and the blocks, or a
    sum; what cannot be decoded is left out. `base` is what runs.
    """
    found: list[tuple[int, tuple[bytes, ...]] | Sum] = []
    at = 0
    while at < len(message):
        try:
            number, encoding, start, at = wire.unpack_record(message, at)
        except mqwire.WireError:
            break  # as the board does: the rest is none of blocks
        data = message[start:at]
        try:
            if encoding == wire.XOR:
                found.append(_read_sum(data))
            else:
                found.append((number, decode(number, encoding, data, base)))
        except ValueError:
            continue
    return tuple(found)


@functools.lru_cache(_SUMS)
def take_out(total: bytes, others: Sequence[bytes]) -> bytes:
    """Return the block that is left of a sum without the `others`, a tuple."""
    left = int.from_bytes(total, "big")
    for block in others:
        left ^= int.from_bytes(block, "big")
    return left.to_bytes(wire.BLOCK_SIZE, "big")


@functools.lru_cache(_BLOCKS)
def block_hash(block: bytes) -> bytes:
    """Return how the hash of a block begins."""
    return hashlib.sha256(block).digest()[: wire.HASH_SIZE]


@functools.lru_cache(_IMAGES)
def whole(blocks: tuple[bytes, ...], size: int) -> tuple[str, bytes]:
    """Return the SHA-256 of the image of `size` bytes that these blocks are, and its bytes."""
    data = b"".join(blocks)[:size]
    return hashlib.sha256(data).hexdigest(), data


@functools.lru_cache(_IMAGES)
def cut(image: Image) -> tuple[bytes, ...]:
    """Return the blocks of an image as they stand in a slot; none of one that nobody has."""
    starts = range(0, len(image.data), wire.BLOCK_SIZE)
    return tuple(
        image.data[start : start + wire.BLOCK_SIZE].ljust(wire.BLOCK_SIZE, b"\xff")
        for start in starts
    )


def _read_sum(data: bytes) -> Sum:
    """Read a record of a sum; ValueError if it is none."""
    count = data[0] if data else 0
    start = 1 + 2 * count
    if not count or len(data) != start + wire.BLOCK_SIZE:
        raise ValueError("sum")
    return Sum(struct.unpack_from(f">{count}H", data, 1), data[start:])


def decode(number: int, encoding: int, data: bytes, base: Image) -> tuple[bytes, ...]:
    """Return the blocks of a record, the first of which is block `number`; `base` is what runs.

    Raises ValueError for what cannot be decoded.
    """
    if encoding == wire.RAW:
        return (data.ljust(wire.BLOCK_SIZE, b"\xff"),)
    if encoding == wire.DEFLATE:
        return (_inflate(data),)
    if encoding != wire.DELTA or not data:
        raise ValueError("encoding")
    made = _execute(_inflate(data[wire.DELTA_HEADER :]), number * wire.BLOCK_SIZE, base.data)
    if len(made) != data[0] * wire.BLOCK_SIZE:
        raise ValueError("length")
    starts = range(0, len(made), wire.BLOCK_SIZE)
    return tuple(made[start : start + wire.BLOCK_SIZE] for start in starts)


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(-wire.WINDOW_BITS).decompress(data + wire.FLUSH)
    except zlib.error as error:
        raise ValueError("deflate") from error


def _execute(stream: bytes, start: int, base: bytes) -> bytes:
    """Return what the instructions in `stream` make of `base`, from the byte `start` on."""
    made = bytearray()
    at = 0
    try:
        while at < len(stream):
            head = stream[at : at + wire.INSTRUCTION_SIZE]
            length, patches, distance = wire.unpack_instruction(head)
            at += wire.INSTRUCTION_SIZE
            if patches == wire.LITERAL:
                made += stream[at : at + length]
                at += length
                continue
            source = start + len(made) + distance
            part = bytearray(base[max(source, 0) : source + length])
            if source < 0 or len(part) != length:
                raise ValueError("source")
            at = _patch(part, patches, stream, at)
            made += part
    except struct.error as error:
        raise ValueError("instruction") from error
    return bytes(made)


def _patch(part: bytearray, patches: int, stream: bytes, at: int) -> int:
    """Change numbers in `part` by the patches at `at`; return where these end."""
    index = 0
    while patches:
        count = min(patches, wire.BATCH)
        patches -= count
        gaps = stream[at : at + count]
        added = struct.unpack_from(f"{count}b", stream, at + count)
        at += 2 * count
        for gap, more in zip(gaps, added, strict=True):
            index += gap
            if index >= len(part):
                raise ValueError("patch")
            carry, position = more, index
            while carry and position < len(part):
                carry += part[position]
                part[position] = carry & 0xFF
                carry >>= 8
                position += 1
            index += 1
    return at
