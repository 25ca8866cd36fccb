"""Makes blocks as differences to the image that a board runs: what to copy, and what changed.

    bsdiff4 finds the matches -> cut at block borders -> the instructions of each block

Instructions are those of mqwire.update. Inserting one line moves everything behind it: most of an
image is then a copy from a few bytes further on, in which some numbers differ, the addresses of
what moved. So a patch is added to a number, not put in its place: the same distance again and again
compresses well, and a board looks only at the numbers that change.
"""

import bz2
import functools
import threading
from bisect import bisect_right
from dataclasses import dataclass

import bsdiff4

from mqwire.update import BATCH, BLOCK_SIZE, LITERAL, pack_instruction

_HEAD = 32  # bytes of a BSDIFF40 patch before its first part, the control triples
_TRIPLE = 24
_MAX_GAP = 0xFF
_KEPT = 4  # pairs of images: as many types of boards as one rollout has, as a rule
_finding = threading.Lock()


@dataclass(frozen=True)
class Match:
    """`size` bytes at `start` of the new image that resemble those at `source` of the base.

    `source` is None where nothing there does.
    """

    start: int
    size: int
    source: int | None


class Delta:
    """The differences of `app` to `base`. Finding them takes about a second for each 4 MB."""

    def __init__(self, base: bytes, app: bytes) -> None:
        self._base = base
        self._app = app
        self._matches = find_matches(base, app)
        self._starts = [match.start for match in self._matches]
        self._made: dict[int, bytes] = {}  # instructions by the block's number

    def instructions(self, number: int) -> bytes:
        """Return the instructions that make block `number`, padded with 0xFF to its end."""
        if number not in self._made:
            self._made[number] = self._make(number)
        return self._made[number]

    def _make(self, number: int) -> bytes:
        start = number * BLOCK_SIZE
        stop = min(start + BLOCK_SIZE, len(self._app))
        parts = []
        index = bisect_right(self._starts, start) - 1
        while index < len(self._matches) and self._starts[index] < stop:
            match = self._matches[index]
            begin, end = max(match.start, start), min(match.start + match.size, stop)
            if match.source is None:
                parts.append(_literal(self._app[begin:end]))
            else:
                parts.append(self._copy(begin, end, match.source - match.start))
            index += 1
        if stop < start + BLOCK_SIZE:
            parts.append(_literal(b"\xff" * (start + BLOCK_SIZE - stop)))
        return b"".join(parts)

    def _copy(self, begin: int, end: int, distance: int) -> bytes:
        """Return the instruction for the bytes `begin`:`end`, like those `distance` further on."""
        new = self._app[begin:end]
        old = bytearray(self._base[begin + distance : end + distance])
        gaps, added = bytearray(), bytearray()
        last = 0
        index = _difference(old, new, 0)
        while index < len(new):
            while index - last > _MAX_GAP:
                gaps.append(_MAX_GAP)
                added.append(0)
                last += _MAX_GAP + 1
            gaps.append(index - last)
            added.append((new[index] - old[index]) & 0xFF)
            _add(old, index, added[-1])
            last = index + 1
            index = _difference(old, new, last)
        if 2 * len(gaps) >= len(new):
            return _literal(new)
        batches = range(0, len(gaps), BATCH)
        parts = [gaps[at : at + BATCH] + added[at : at + BATCH] for at in batches]
        return pack_instruction(end - begin, len(gaps), distance) + b"".join(parts)


def differences(base: bytes, app: bytes) -> Delta:
    """Return the differences of `app` to `base`: found once, however many boards are sent them, and
    in whichever threads.
    """
    with _finding:
        return _found(base, app)


@functools.lru_cache(_KEPT)
def _found(base: bytes, app: bytes) -> Delta:
    return Delta(base, app)


def find_matches(base: bytes, app: bytes) -> list[Match]:
    """Find what of `app` resembles what of `base`: in order, and together all of `app`."""
    # Of the patch (see bsdiff4's format.py) only the triples matter: how many bytes are like the
    # base's at our place in it, how many follow that are not, and how far to move that place.
    patch = bsdiff4.diff(base, app)
    control = bz2.decompress(patch[_HEAD : _HEAD + _number(patch[8:16])])
    matches = []
    start = source = 0
    for position in range(0, len(control), _TRIPLE):
        alike, other, move = (
            _number(control[position + part : position + part + 8]) for part in (0, 8, 16)
        )
        if alike:
            matches.append(Match(start, alike, source))
        if other:
            matches.append(Match(start + alike, other, None))
        start += alike + other
        source += alike + move
    return matches


def _difference(old: bytearray, new: bytes, start: int) -> int:
    """Return where `old` and `new` differ first from `start` on; their length if nowhere."""
    if old[start:] == new[start:]:
        return len(new)
    while old[start] == new[start]:
        start += 1
    return start


def _add(number: bytearray, index: int, added: int) -> None:
    """Add to the number at `index` what a patch with the byte `added` adds."""
    carry = added - 256 if added > 127 else added
    while carry and index < len(number):
        carry += number[index]
        number[index] = carry & 0xFF
        carry >>= 8
        index += 1


def _literal(data: bytes) -> bytes:
    return pack_instruction(len(data), LITERAL, 0) + data


def _number(data: bytes) -> int:
    """Return a number as bsdiff writes it: little-endian, the highest bit is the sign."""
    value = int.from_bytes(data, "little")
    return -(value & ~(1 << 63)) if value >> 63 else value
