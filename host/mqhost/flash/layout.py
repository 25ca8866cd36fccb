"""Computes a board's partition table from the size of its flash, as the CSV that ESP-IDF reads.

    0x9000 nvs, otadata, phy_init | 0x10000 ota_0 | ota_1 | vfs, to the end of the flash

The bootloader of a board that is secured is larger, so there all begins 0x6000 or 0x10000 later.
Boards in the field cannot move their partitions: what is computed here for a size of flash stays as
it is for good, and a test holds it.
"""

from typing import Any

from mqhost.errors import UsageError
from mqhost.flash.partition import (
    APP_ALIGNMENT,
    SECTOR,
    SECURED_TABLE_OFFSET,
    TABLE_OFFSET,
    TABLE_SIZE,
    PartitionTable,
)

KIB = 1024
MIB = 1024 * KIB

# Flash → a slot. Half of the small ones would leave no room for files; large ones get slots that no
# firmware will ever outgrow, as they can never be made larger.
SLOTS = {4 * MIB: 1536 * KIB, 8 * MIB: 2560 * KIB, 16 * MIB: 4 * MIB}

_NVS = 0x4000
_OTADATA = 2 * SECTOR
_PHY = SECTOR
_SMALLEST_FILESYSTEM = 64 * KIB


def table_offset(secured: bool) -> int:
    """Return where the partition table is, by whether the board is secured."""
    return SECURED_TABLE_OFFSET if secured else TABLE_OFFSET


def layout_csv(
    flash_size: int,
    *,
    slot_size: int = 0,
    filesystem_size: int = 0,
    secured: bool = False,
    encrypted: bool = False,
) -> str:
    """Return the CSV for a flash of `flash_size` bytes.

    `secured`: with secure boot or flash encryption; `encrypted`: with the latter, which takes a
    partition for the keys of NVS, and encrypts the files. Without `slot_size` the slots are as
    large as SLOTS says, or share what `filesystem_size` leaves; without `filesystem_size` the
    filesystem gets the rest. Raises UsageError with the numbers if that cannot be.
    """
    start = table_offset(secured) + TABLE_SIZE
    keys = start + _NVS + _OTADATA + _PHY
    first = -(-(keys + SECTOR * encrypted) // APP_ALIGNMENT) * APP_ALIGNMENT
    known = ", ".join(f"{size // MIB} MiB" for size in SLOTS)
    if flash_size not in SLOTS:
        raise UsageError(
            f"there is no layout for {flash_size // MIB} MiB of flash; known: {known}. Others need "
            'a table of their own: partitions = "partitions.csv" (docs/boards.md).'
        )
    if filesystem_size % SECTOR:
        raise UsageError(f"filesystem_size is {filesystem_size:,} B, no multiple of {SECTOR:,} B.")
    if slot_size % APP_ALIGNMENT:
        raise UsageError(f"slot_size is {slot_size:,} B, no multiple of {APP_ALIGNMENT:,} B.")
    room = flash_size - first
    if not slot_size:
        slot_size = SLOTS[flash_size]
        if filesystem_size:
            slot_size = (room - filesystem_size) // 2 // APP_ALIGNMENT * APP_ALIGNMENT
    left = room - 2 * slot_size
    if slot_size <= 0 or left < max(filesystem_size, _SMALLEST_FILESYSTEM):
        wanted = max(filesystem_size, _SMALLEST_FILESYSTEM)
        raise UsageError(
            f"two slots of {max(slot_size, 0):,} B and a filesystem of {wanted:,} B do not fit "
            f"into {room:,} B, what {flash_size // MIB} MiB of flash have for them. Make "
            "slot_size or filesystem_size smaller."
        )
    flag = "encrypted" if encrypted else ""
    rows = [
        ("nvs", "data", "nvs", start, _NVS, ""),
        ("otadata", "data", "ota", start + _NVS, _OTADATA, ""),
        ("phy_init", "data", "phy", start + _NVS + _OTADATA, _PHY, ""),
        *([("nvs_keys", "data", "nvs_keys", keys, SECTOR, flag)] if encrypted else []),
        ("ota_0", "app", "ota_0", first, slot_size, ""),
        ("ota_1", "app", "ota_1", first + slot_size, slot_size, ""),
        ("vfs", "data", "fat", first + 2 * slot_size, filesystem_size or left, flag),
    ]
    lines = [
        f"{name},{kind},{sub},{at:#x},{size:#x},{flags}\n"
        for name, kind, sub, at, size, flags in rows
    ]
    return "# Name,Type,SubType,Offset,Size,Flags\n" + "".join(lines)


def layout(flash_size: int, **options: Any) -> PartitionTable:
    """Return the table of `layout_csv`, checked like one that is a board's own."""
    text = layout_csv(flash_size, **options)
    offset = table_offset(bool(options.get("secured")))
    return PartitionTable.parse(text, flash_size, "the computed layout", offset)
