"""Reads ELF files as far as it takes to say what stands at a place: loaded parts and symbols.

For programs and objects of chips and of this machine alike: 32 and 64 bits, little-endian. What is
no such file has neither. Source: the System V ABI, "ELF Header", "Sections", "Symbol Table".
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

_MAGIC = b"\x7fELF"
_LITTLE = 1
_LOAD, _SYMBOLS = 1, 2
# By class (1: 32 bits, 2: 64): where the header has its tables, and an entry of each of them.
_HEADER = {1: "<28xII6xHHHHH", 2: "<32xQQ6xHHHHH"}
_LOADED = {1: "<IIIIII", 2: "<I4xQQQQQ"}
_SECTION = {1: "<II8xIII", 2: "<II16xQQI"}
_SYMBOL = {1: "<III2xH", 2: "<I2xHQQ"}


class Symbol(NamedTuple):
    """A name, the section it is in, where it begins (in an object: within that), and its size."""

    name: str
    section: str
    begin: int
    size: int


def address_at(program: bytes, offset: int) -> int | None:
    """Return the address at which the byte at `offset` of the file is loaded; None if it is not."""
    kind = _kind(program)
    if not kind:
        return None
    table, _, size, count, *_ = struct.unpack_from(_HEADER[kind], program)
    for entry in _entries(program, table, size, count, _LOADED[kind]):
        what, place, address, _, length, _ = entry
        if what == _LOAD and place <= offset < place + length:
            return address + offset - place
    return None


def symbols(data: bytes) -> Iterator[Symbol]:
    """Yield the symbols that have a size."""
    kind = _kind(data)
    if not kind:
        return
    _, table, _, _, size, count, names = struct.unpack_from(_HEADER[kind], data)
    sections = list(_entries(data, table, size, count, _SECTION[kind]))
    titles = _content(data, sections[names]) if names < len(sections) else b""
    for section in sections:
        if section[1] != _SYMBOLS or section[4] >= len(sections):
            continue
        texts, table = _content(data, sections[section[4]]), section[2]
        step = 16 if kind == 1 else 24
        for entry in _entries(data, table, step, section[3] // step, _SYMBOL[kind]):
            name, begin, extent, inside = entry if kind == 1 else (entry[0], *entry[2:], entry[1])
            if extent and inside < len(sections):
                yield Symbol(_text(texts, name), _text(titles, sections[inside][0]), begin, extent)


def _kind(data: bytes) -> int:
    """Return the class of an ELF file; 0 if it is none."""
    known = data[:4] == _MAGIC and len(data) >= 64 and data[5] == _LITTLE
    return data[4] if known and data[4] in _HEADER else 0


def _entries(
    data: bytes, table: int, size: int, count: int, layout: str
) -> Iterator[tuple[int, ...]]:
    """Yield the entries of a table, as far as the file goes."""
    for number in range(count):
        place = table + number * size
        if place + struct.calcsize(layout) > len(data):
            return
        yield struct.unpack_from(layout, data, place)


def _content(data: bytes, section: tuple[int, ...]) -> bytes:
    return data[section[2] : section[2] + section[3]]


def _text(texts: bytes, place: int) -> str:
    return texts[place : max(place, texts.find(b"\0", place))].decode(errors="replace")
