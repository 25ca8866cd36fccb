"""Decodes block records with zlib; what many boards are sent alike is decoded once.

The formats are those of mqwire.update.
"""

import functools
import hashlib
import struct
import zlib
from dataclasses import dataclass, field

from mqwire import update as wire

_KEPT = 4096  # records


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


@functools.lru_cache(_KEPT)
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
