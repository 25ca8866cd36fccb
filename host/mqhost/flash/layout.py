"""Computes a board's partition table from the size of its flash, as the CSV that ESP-IDF reads.

    0x9000 nvs, otadata, phy_init | 0x10000 ota_0 | ota_1 | vfs, to the end of the flash

Boards in the field cannot move their partitions: what is computed here for a size of flash stays as
it is for good, and a test holds it.
"""

from mqhost.errors import UsageError
from mqhost.flash.partition import APP_ALIGNMENT, SECTOR, PartitionTable

KIB = 1024
MIB = 1024 * KIB

# Flash → a slot. Half of the small ones would leave no room for files; large ones get slots that no
# firmware will ever outgrow, as they can never be made larger.
SLOTS = {4 * MIB: 1536 * KIB, 8 * MIB: 2560 * KIB, 16 * MIB: 4 * MIB}

_NVS = 0x4000
_OTADATA = 2 * SECTOR
_PHY = SECTOR
_SMALLEST_FILESYSTEM = 64 * KIB


def layout_csv(flash_size: int, *, slot_size: int = 0, filesystem_size: int = 0) -> str:
    """Return the CSV for a flash of `flash_size` bytes.

    Without `slot_size` the slots are as large as SLOTS says, or share what `filesystem_size`
    leaves; without `filesystem_size` the filesystem gets the rest. Raises UsageError with the
    numbers if that cannot be.
    """
    first = 0x10000
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
    rows = [
        ("nvs", "data", "nvs", 0x9000, _NVS),
        ("otadata", "data", "ota", 0xD000, _OTADATA),
        ("phy_init", "data", "phy", 0xF000, _PHY),
        ("ota_0", "app", "ota_0", first, slot_size),
        ("ota_1", "app", "ota_1", first + slot_size, slot_size),
        ("vfs", "data", "fat", first + 2 * slot_size, filesystem_size or left),
    ]
    lines = [f"{name},{kind},{sub},{at:#x},{size:#x},\n" for name, kind, sub, at, size in rows]
    return "# Name,Type,SubType,Offset,Size,Flags\n" + "".join(lines)


def layout(flash_size: int, *, slot_size: int = 0, filesystem_size: int = 0) -> PartitionTable:
    """Return the table of `layout_csv`, checked like one that is a board's own."""
    text = layout_csv(flash_size, slot_size=slot_size, filesystem_size=filesystem_size)
    return PartitionTable.parse(text, flash_size, "the computed layout")
