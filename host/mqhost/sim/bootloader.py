"""Follows the bootloader's rules, and the app's calls that change what it will pick next.

`Bootloader.boot` does what the second-stage bootloader does at reset: an image that was on trial
and did not confirm itself is ABORTED, the record with the highest sequence names the slot, a NEW
one goes on trial (PENDING_VERIFY), an image that fails verification is passed over. `set_boot` and
`mark_valid` are esp_ota_set_boot_partition and esp_ota_mark_app_valid_cancel_rollback. Every change
is "erase the sector, write the record", in ESP-IDF's order, so that power cuts hit where they can.

Source: ESP-IDF v5.5, bootloader_utility.c and esp_ota_ops.c, rollback enabled, no factory app.
"""

from dataclasses import dataclass

from mqhost.flash import otadata
from mqhost.flash.espimage import ImageError, ImageInfo, verify
from mqhost.flash.otadata import Record
from mqhost.flash.partition import DATA, OTA_DATA, Partition, PartitionTable
from mqhost.sim.esperror import InvalidArgument, OtaValidateFailed
from mqhost.sim.flash import Flash
from mqwire.flash import (
    ABORTED,
    NEW,
    OTADATA_SIZE,
    PENDING_VERIFY,
    SECTOR,
    VALID,
)


@dataclass(frozen=True)
class Choice:
    """What the bootloader boots: a slot, its image, and why it passed over others (sentences)."""

    slot: Partition
    image: ImageInfo
    passed_over: tuple[str, ...] = ()


class NothingBootable(Exception):
    """Raised when no slot holds an image that verifies. The text says what is wrong with each."""


class Bootloader:
    """The rules for one flash. `chip_id` is the chip an image must be made for."""

    def __init__(self, flash: Flash, table: PartitionTable, chip_id: int = 0):
        self._flash = flash
        self._chip_id = chip_id
        self._slots = table.slots
        self._otadata = table.find_type(DATA, OTA_DATA)

    def boot(self) -> Choice:
        """Pick a slot, updating otadata on the way. Raises NothingBootable."""
        records = self.records()
        for index, record in enumerate(records):
            if record.state == PENDING_VERIFY:
                records[index] = Record(record.sequence, ABORTED, record.crc)
                self._write(index, records[index])
        blank = not any(record.written for record in records)
        index_or_none = otadata.active(records)
        first = 0
        if index_or_none is not None:
            record = records[index_or_none]
            first = record.slot(len(self._slots))
            if record.state == NEW:
                self._write(index_or_none, Record(record.sequence, PENDING_VERIFY, record.crc))
        return self._load(first, blank)

    def records(self) -> list[Record]:
        """Return the two otadata records as they stand in flash."""
        return [
            Record.from_bytes(self._flash.read(self._otadata.offset + index * SECTOR, OTADATA_SIZE))
            for index in (0, 1)
        ]

    def boot_slot(self) -> Partition:
        """Return the slot that otadata selects (esp_ota_get_boot_partition)."""
        records = self.records()
        index = otadata.active(records)
        return self._slots[0 if index is None else records[index].slot(len(self._slots))]

    def set_boot(self, address: int) -> None:
        """Verify the image in the slot at `address` and make it the next to boot, on trial.

        Raises OtaValidateFailed, or InvalidArgument when there is no slot at that address.
        """
        number = next((n for n, slot in enumerate(self._slots) if slot.offset == address), None)
        if number is None:
            raise InvalidArgument()
        try:
            self._verify(self._slots[number])
        except ImageError as error:
            raise OtaValidateFailed() from error
        records = self.records()
        index = otadata.active(records)
        if index is None:
            self._write(0, Record.make(number + 1, NEW))
        else:
            count = len(self._slots)
            sequence = otadata.next_sequence(records[index].sequence, number, count)
            self._write(1 - index, Record.make(sequence, NEW))

    def mark_valid(self) -> None:
        """Confirm the active record, so that the bootloader keeps booting its slot."""
        records = self.records()
        index = otadata.active(records)
        if index is not None and records[index].state != VALID:
            self._write(index, Record.make(records[index].sequence, VALID))

    def _load(self, first: int, blank: bool) -> Choice:
        """Return the first slot that verifies: `first`, then those below it, then those above."""
        order = [*range(first, -1, -1), *range(first + 1, len(self._slots))]
        passed_over: list[str] = []
        for number in order:
            slot = self._slots[number]
            try:
                image = self._verify(slot)
            except ImageError as error:
                passed_over.append(f"{slot.label}: {error}")
                continue
            if blank:
                self._write(0, Record.make(number + 1, VALID))
            return Choice(slot, image, tuple(passed_over))
        raise NothingBootable(" ".join(passed_over))

    def _verify(self, slot: Partition) -> ImageInfo:
        return verify(self._flash.read(slot.offset, slot.size), self._chip_id)

    def _write(self, index: int, record: Record) -> None:
        address = self._otadata.offset + index * SECTOR
        self._flash.erase(address)
        self._flash.program(address, record.to_bytes())
