"""Tests otadata records: their bytes, their CRC, and which one the bootloader follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqhost.flash.otadata import Record, active, next_sequence
from mqwire.flash import ABORTED, INVALID, NEW, PENDING_VERIFY, UNDEFINED, VALID

BLANK = Record.from_bytes(b"\xff" * 32)


def test_a_record_is_what_esp_idf_writes():
    # Sequence 1 as ESP-IDF's otatool writes it: CRC-32 of 01000000, start value 0xFFFFFFFF.
    data = Record.make(1, NEW).to_bytes()
    assert data == b"\x01\0\0\0" + b"\xff" * 20 + b"\0\0\0\0" + bytes.fromhex("9a984347")
    assert Record.from_bytes(data) == Record.make(1, NEW)


@given(st.integers(min_value=0, max_value=0xFFFFFFFE), st.sampled_from([NEW, VALID, UNDEFINED]))
def test_a_record_reads_back(sequence, state):
    record = Record.make(sequence, state)
    assert Record.from_bytes(record.to_bytes()) == record
    assert record.usable


@pytest.mark.parametrize("state", [INVALID, ABORTED])
def test_a_failed_slot_is_passed_over(state):
    assert active([Record.make(7, state), Record.make(6, VALID)]) == 1
    assert active([Record.make(7, state), Record.make(6, state)]) is None


@pytest.mark.parametrize(
    ("first", "second", "index"),
    [
        (BLANK, BLANK, None),
        (Record.make(1, VALID), BLANK, 0),
        (BLANK, Record.make(1, PENDING_VERIFY), 1),
        (Record.make(1, VALID), Record.make(2, NEW), 1),
        (Record.make(3, VALID), Record.make(2, NEW), 0),
        (Record.make(3, VALID), Record.make(3, NEW), 0),
        (Record(9, VALID, 12345), Record.make(2, VALID), 1),
    ],
)
def test_the_highest_valid_sequence_is_followed(first, second, index):
    assert active([first, second]) == index


@given(st.integers(1, 1000), st.integers(1, 16), st.data())
def test_the_next_sequence_selects_the_slot_and_never_goes_back(current, slots, data):
    slot = data.draw(st.integers(0, slots - 1))
    sequence = next_sequence(current, slot, slots)
    assert current <= sequence < current + slots
    assert Record.make(sequence, NEW).slot(slots) == slot
