"""Chooses what mends most of what many boards miss: blocks as they are, and sums of blocks.

A sum, all its blocks XORed, helps each board that misses exactly one of them: the others it has,
and takes them out. Where boards have lost messages here and there, everybody misses something else,
and together they miss everything; a dozen such sums then serve nearly all of them.

    who misses what -> the block, or the sum, that helps the most boards for its bytes -> again
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mqwire.update import BLOCK_SIZE, MAX_SUMMED, RECORD_SIZE, bitmap_get, pack_record
from mqwire.update import XOR as ENCODING

_SUM_BYTES = RECORD_SIZE + 1 + BLOCK_SIZE


@dataclass(frozen=True)
class Repair:
    """What is to be sent: `blocks` by their numbers, in order, and `sums`, each of several."""

    blocks: tuple[int, ...]
    sums: tuple[tuple[int, ...], ...]


def choose(needed: Sequence[bytes], count: int, block_bytes: float) -> Repair:
    """Return what to send to boards that need the blocks in the bitmaps `needed`, of an image of
    `count` blocks. `block_bytes`: what a block takes, as a rule.

    After it, if nothing is lost, nobody needs anything.
    """
    misses = {}  # by number, as a bit for each board
    for number in range(count):
        boards = sum(1 << at for at, one in enumerate(needed) if bitmap_get(one, number))
        if boards:
            misses[number] = boards
    blocks, sums = [], []
    while misses:
        numbers, helped = _best_sum(misses)
        plain = misses[numbers[0]]
        worth = helped.bit_count() / (_SUM_BYTES + 2 * len(numbers))
        if len(numbers) > 1 and worth > plain.bit_count() / block_bytes:
            sums.append(tuple(sorted(numbers)))
        else:
            numbers, helped = numbers[:1], plain
            blocks.append(numbers[0])
        for number in numbers:
            left = misses[number] & ~helped
            if left:
                misses[number] = left
            else:
                del misses[number]
    return Repair(tuple(sorted(blocks)), tuple(sums))


def _best_sum(misses: dict[int, int]) -> tuple[list[int], int]:
    """Return numbers of blocks, the one that most boards miss first, and the boards that miss just
    one of them: one more block would help fewer."""
    first = max(misses, key=lambda number: misses[number].bit_count())
    numbers = [first]
    once, more = misses[first], 0  # boards that miss one of them, and several
    while len(numbers) < MAX_SUMMED:
        best, best_once = -1, once
        for number, boards in misses.items():
            with_it = (once | boards) & ~(more | once & boards)
            if with_it.bit_count() > best_once.bit_count() and number not in numbers:
                best, best_once = number, with_it
        if best < 0:
            break
        numbers.append(best)
        more |= once & misses[best]
        once = best_once
    return numbers, once


def pack_sum(numbers: Sequence[int], blocks: Sequence[bytes]) -> bytes:
    """Return the message with the sum of these `blocks`, whose `numbers` are given."""
    total = 0
    for block in blocks:
        total ^= int.from_bytes(block, "big")
    listed = b"".join(number.to_bytes(2, "big") for number in numbers)
    data = bytes((len(numbers),)) + listed + total.to_bytes(BLOCK_SIZE, "big")
    return pack_record(numbers[0], ENCODING, data)
