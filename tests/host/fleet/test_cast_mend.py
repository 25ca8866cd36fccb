"""Tests what is sent again to boards that have lost different blocks."""

import random

from hypothesis import given
from hypothesis import strategies as st

from mqhost.fleet.cast.mend import choose, pack_sum
from mqwire import MAX_PAYLOAD
from mqwire.update import BLOCK_SIZE, MAX_SUMMED, XOR, bitmap_get, bitmap_put, unpack_record

COUNT = 184
BLOCK_BYTES = 2900.0


def bitmaps(missing, count=COUNT):
    made = []
    for numbers in missing:
        bitmap = bytearray(-(-count // 8))
        for number in numbers:
            bitmap_put(bitmap, number, True)
        made.append(bytes(bitmap))
    return made


def left_after(repair, missing):
    """Return what each board still misses when it has received all of `repair`, in that order."""
    left = [set(numbers) - set(repair.blocks) for numbers in missing]
    for numbers in repair.sums:
        for board in left:
            if len(board & set(numbers)) == 1:
                board -= set(numbers)
    return left


def test_who_misses_everything_is_sent_the_blocks_as_they_are():
    repair = choose(bitmaps([range(COUNT)] * 50), COUNT, BLOCK_BYTES)
    assert (repair.blocks, repair.sums) == (tuple(range(COUNT)), ())


def test_one_board_gets_what_it_misses():
    repair = choose(bitmaps([(3, 70, 183)]), COUNT, BLOCK_BYTES)
    assert (repair.blocks, repair.sums) == ((3, 70, 183), ())


def test_boards_that_each_miss_another_block_share_one_sum():
    repair = choose(bitmaps([(3,), (70,), (183,)]), COUNT, BLOCK_BYTES)
    assert (repair.blocks, repair.sums) == ((), ((3, 70, 183),))


def test_small_differences_are_not_summed():
    repair = choose(bitmaps([(3,), (70,), (183,)]), COUNT, 100.0)
    assert (repair.blocks, repair.sums) == ((3, 70, 183), ())


def test_nobody_who_misses_nothing_is_sent_anything():
    assert choose([], COUNT, BLOCK_BYTES) == choose(bitmaps([(), ()]), COUNT, BLOCK_BYTES)


@given(st.lists(st.sets(st.integers(0, 19)), min_size=1, max_size=12), st.floats(10, 4100))
def test_after_it_nobody_misses_anything(missing, block_bytes):
    repair = choose(bitmaps(missing, 20), 20, block_bytes)
    assert not any(left_after(repair, missing))
    assert all(2 <= len(numbers) <= MAX_SUMMED for numbers in repair.sums)


def test_one_in_twenty_lost_by_two_hundred_boards_is_made_good_with_a_third_of_the_stream():
    source = random.Random(2)
    missing = [{n for n in range(COUNT) if source.random() < 0.05} for _ in range(200)]
    repair = choose(bitmaps(missing), COUNT, BLOCK_BYTES)
    assert not any(left_after(repair, missing))
    size = len(repair.blocks) * BLOCK_BYTES + len(repair.sums) * (BLOCK_SIZE + 50)
    assert size < 0.33 * COUNT * BLOCK_BYTES  # and every block is missing somewhere


def test_a_sum_says_its_blocks_and_fits_one_message():
    source = random.Random(1)
    blocks = [source.randbytes(BLOCK_SIZE) for _ in range(MAX_SUMMED)]
    numbers = list(range(1000, 1000 + MAX_SUMMED))
    message = pack_sum(numbers, blocks)
    assert len(message) <= MAX_PAYLOAD
    number, encoding, start, end = unpack_record(message, 0)
    data = message[start:end]
    assert (number, encoding, end, data[0]) == (1000, XOR, len(message), MAX_SUMMED)
    said = [int.from_bytes(data[at : at + 2], "big") for at in range(1, 1 + 2 * data[0], 2)]
    assert said == numbers
    total = int.from_bytes(data[-BLOCK_SIZE:], "big")
    for block in blocks:
        total ^= int.from_bytes(block, "big")
    assert total == 0


def test_bits_are_those_of_the_wire():
    assert [n for n in range(16) if bitmap_get(bitmaps([(0, 9)], 16)[0], n)] == [0, 9]
