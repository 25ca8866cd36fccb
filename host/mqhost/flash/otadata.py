"""Reads and writes otadata: the two records by which the bootloader picks a slot, and its rules.

One record stands at the start of each of the partition's two sectors; a new one is always written
over the older, so that a power cut in between leaves the other. Source: ESP-IDF v5.5,
components/bootloader_support/src/bootloader_common*.c; the record itself is in mqwire.flash.
"""

import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from mqwire.flash import (
    ABORTED,
    BLANK,
    CRC_START,
    INVALID,
    OTADATA_SIZE,
    pack_otadata,
    unpack_otadata,
)


@dataclass(frozen=True)
class Record:
    """One otadata record. `sequence` counts from 1; `state` is one of mqwire.flash's states."""

    sequence: int
    state: int
    crc: int

    @classmethod
    def make(cls, sequence: int, state: int) -> "Record":
        """Make a record with the right CRC."""
        return cls(sequence, state, _crc(sequence))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Record":
        """Read the first 32 bytes of a sector; a damaged record is one that is not `usable`."""
        return cls(*unpack_otadata(data[:OTADATA_SIZE]))

    def to_bytes(self) -> bytes:
        """Return the record's 32 bytes."""
        return pack_otadata(self.sequence, self.state, self.crc)

    @property
    def written(self) -> bool:
        """Whether it is neither blank nor damaged, whatever its state."""
        return self.sequence != BLANK and self.crc == _crc(self.sequence)

    @property
    def rejected(self) -> bool:
        """Whether it is blank or its slot has failed: what the bootloader passes over."""
        return self.sequence == BLANK or self.state in (INVALID, ABORTED)

    @property
    def usable(self) -> bool:
        """Whether the bootloader may follow it."""
        return self.written and not self.rejected

    def slot(self, slots: int) -> int:
        """Return the number of the slot it selects, of `slots`."""
        return (self.sequence - 1) % slots


def active(records: Sequence[Record]) -> int | None:
    """Return the index of the usable record with the highest sequence, the first of equals."""
    usable = [index for index, record in enumerate(records) if record.usable]
    return max(usable, key=lambda index: (records[index].sequence, -index), default=None)


def next_sequence(current: int, slot: int, slots: int) -> int:
    """Return the lowest sequence from `current` on that selects `slot`."""
    return current + (slot + 1 - current) % slots


def _crc(sequence: int) -> int:
    return binascii.crc32(struct.pack("<I", sequence), CRC_START)
