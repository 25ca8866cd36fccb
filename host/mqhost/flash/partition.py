"""Reads a partition table as CSV, checks it, and turns it into the table's bytes.

The CSV is computed (layout.py), or a board's own file; it is the only place that knows the flash
layout, and everything else asks the table made here. Sources: ESP-IDF programming guide, "Partition
Tables" (CSV syntax, type and subtype names, alignment) and `esp_partition_info_t` in
components/bootloader_support (the binary rows, the MD5 row, the table at 0x8000).
"""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from mqhost.errors import UsageError

TABLE_OFFSET = 0x8000
# Where the table of a board with secure boot or flash encryption is: its bootloader is larger.
SECURED_TABLE_OFFSET = 0xE000
TABLE_SIZE = 0x1000
SECTOR = 0x1000
APP_ALIGNMENT = 0x10000

APP = 0
DATA = 1
OTA_DATA = 0x00
NVS = 0x02
_FIRST_SLOT = 0x10
_LAST_SLOT = 0x1F

TYPES = {"app": APP, "data": DATA}
SUBTYPES = {
    APP: {"factory": 0x00, "test": 0x20} | {f"ota_{n}": _FIRST_SLOT + n for n in range(16)},
    DATA: {
        "ota": OTA_DATA,
        "phy": 0x01,
        "nvs": NVS,
        "coredump": 0x03,
        "nvs_keys": 0x04,
        "efuse": 0x05,
        "undefined": 0x06,
        "esphttpd": 0x80,
        "fat": 0x81,
        "spiffs": 0x82,
        "littlefs": 0x83,
    },
}
FLAGS = {"encrypted": 1, "readonly": 2}

# One row: magic, type, subtype, offset, size, label (zero filled), flags.
_ROW = "<2sBBII16sI"
_ROW_SIZE = struct.calcsize(_ROW)
_ROW_MAGIC = b"\xaa\x50"
_MD5_MAGIC = b"\xeb\xeb" + b"\xff" * 14
_MAX_ROWS = 95
_FLASH_OFFSETS = (0, 0x1000, 0x2000)
_MAX_LABEL = 16


@dataclass(frozen=True)
class Partition:
    """One row of the table. `offset` and `size` are bytes of flash."""

    label: str
    type: int
    subtype: int
    offset: int
    size: int
    flags: int = 0

    @property
    def end(self) -> int:
        """The first address behind the partition."""
        return self.offset + self.size

    @property
    def is_slot(self) -> bool:
        """Whether an update can be written here (ota_0 … ota_15)."""
        return self.type == APP and _FIRST_SLOT <= self.subtype <= _LAST_SLOT

    def to_bytes(self) -> bytes:
        """Return the 32 bytes of this row."""
        label = self.label.encode()
        return struct.pack(
            _ROW, _ROW_MAGIC, self.type, self.subtype, self.offset, self.size, label, self.flags
        )

    @classmethod
    def from_bytes(cls, row: bytes) -> "Partition":
        """Read one row; UsageError if it is none."""
        magic, kind, subtype, offset, size, label, flags = struct.unpack(_ROW, row)
        if magic != _ROW_MAGIC:
            raise UsageError(f"partition table: a row begins with {magic.hex()}, not aa50.")
        name = label.rstrip(b"\0").decode(errors="replace")
        return cls(name, kind, subtype, offset, size, flags)


@dataclass(frozen=True)
class PartitionTable:
    """The partitions of one board, in the order of the CSV. `offset`: where the table stands."""

    partitions: tuple[Partition, ...]
    offset: int = TABLE_OFFSET

    @classmethod
    def load(cls, csv: Path, flash_size: int) -> "PartitionTable":
        """Read and check the file `csv` for a flash of `flash_size` bytes.

        Raises UsageError naming the file, the line and the numbers.
        """
        return cls.parse(read_csv(csv), flash_size, str(csv))

    @classmethod
    def parse(
        cls, text: str, flash_size: int, csv: str, offset: int = TABLE_OFFSET
    ) -> "PartitionTable":
        """Read and check the CSV `text`, called `csv` in errors (UsageError)."""
        rows: list[tuple[str, Partition]] = []
        first = free = offset + TABLE_SIZE
        for number, line in enumerate(text.splitlines(), 1):
            where = f"{csv}, line {number}"
            line = line.partition("#")[0].strip()
            if line:
                partition = _parse(line, where, free)
                _check_row(partition, where, first, flash_size)
                rows.append((where, partition))
                free = partition.end
        _check_together(rows, csv)
        return cls(tuple(partition for _, partition in rows), offset)

    @property
    def slots(self) -> tuple[Partition, ...]:
        """The OTA app partitions, ota_0 first."""
        return tuple(sorted((p for p in self.partitions if p.is_slot), key=lambda p: p.subtype))

    def find(self, label: str) -> Partition:
        """Return the partition with that label; UsageError naming those that exist."""
        for partition in self.partitions:
            if partition.label == label:
                return partition
        known = ", ".join(p.label for p in self.partitions)
        raise UsageError(f"There is no partition {label!r}; the table has {known}.")

    def find_type(self, kind: int, subtype: int) -> Partition:
        """Return the first partition of that type and subtype; UsageError if there is none."""
        for partition in self.partitions:
            if (partition.type, partition.subtype) == (kind, subtype):
                return partition
        raise UsageError(
            f"The partition table has no partition of type {kind}, subtype {subtype:#x}. "
            "Add one to the board's own CSV (partitions in board.toml)."
        )

    def to_bytes(self) -> bytes:
        """Return the sector at TABLE_OFFSET: the rows, the MD5 row, 0xFF to its end."""
        rows = b"".join(partition.to_bytes() for partition in self.partitions)
        table = rows + _MD5_MAGIC + hashlib.md5(rows).digest()
        return table.ljust(TABLE_SIZE, b"\xff")

    @classmethod
    def from_bytes(cls, data: bytes, offset: int = TABLE_OFFSET) -> "PartitionTable":
        """Read a table as it stands in flash; UsageError if it is damaged or missing. `offset`:
        where in flash that is."""
        partitions: list[Partition] = []
        for position in range(0, len(data) - _ROW_SIZE + 1, _ROW_SIZE):
            row = bytes(data[position : position + _ROW_SIZE])
            if row[:16] == _MD5_MAGIC:
                if row[16:] != hashlib.md5(data[:position]).digest():
                    raise UsageError("partition table: its MD5 does not match; it is damaged.")
                break
            if row == b"\xff" * _ROW_SIZE:
                break
            partitions.append(Partition.from_bytes(row))
        if not partitions:
            raise UsageError("partition table: it is empty.")
        return cls(tuple(partitions), offset)


def read_csv(path: Path) -> str:
    """Return the text of a CSV file; UsageError if it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot read the partition table: {error}.") from error


def is_flash_image(data: bytes | memoryview) -> bool:
    """Return whether `data` looks like a flash image: a table stands where one has it, which
    depends on the address at which the chip's bootloader, and so its flash image, begins.
    """
    tables = (TABLE_OFFSET, SECURED_TABLE_OFFSET)
    places = (table - offset for table in tables for offset in _FLASH_OFFSETS)
    return any(bytes(data[at : at + len(_ROW_MAGIC)]) == _ROW_MAGIC for at in places)


def _parse(line: str, where: str, free: int) -> Partition:
    """Read one CSV line; an empty offset becomes the next fitting address from `free` on."""
    fields = [field.strip() for field in line.split(",")]
    if not 5 <= len(fields) <= 6:
        raise UsageError(
            f"{where}: expected 'name, type, subtype, offset, size, flags', found {line!r}."
        )
    label, kind_text, subtype_text, offset_text, size_text = fields[:5]
    if not label or len(label.encode()) > _MAX_LABEL:
        raise UsageError(f"{where}: a name has 1 to {_MAX_LABEL} bytes, not {label!r}.")
    kind = _named(kind_text, TYPES, "type", where)
    subtype = _named(subtype_text or "0", SUBTYPES.get(kind, {}), "subtype", where)
    if offset_text:
        offset = _number(offset_text, "offset", where)
    else:
        alignment = APP_ALIGNMENT if kind == APP else SECTOR
        offset = -(-free // alignment) * alignment
    flags = 0
    for flag in (fields[5] if len(fields) == 6 else "").split(":"):
        if flag.strip():
            flags |= _named(flag.strip(), FLAGS, "flag", where)
    return Partition(label, kind, subtype, offset, _number(size_text, "size", where), flags)


def _named(text: str, names: dict[str, int], what: str, where: str) -> int:
    """Return the number behind a name, or a plain number in the range of a byte."""
    if text in names:
        return names[text]
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= 0xFF:
        known = ", ".join(names) or "a number from 0 to 255"
        raise UsageError(f"{where}: unknown {what} {text!r}; known: {known}.")
    return number


def _number(text: str, what: str, where: str) -> int:
    """Parse a decimal or 0x number, with K or M for KiB and MiB."""
    scale = {"K": 1024, "M": 1024 * 1024}.get(text[-1:].upper(), 1)
    try:
        number = int(text[:-1] if scale > 1 else text, 0)
    except ValueError:
        number = -1
    if number < 0:
        raise UsageError(f"{where}: {what} {text!r} is no number (as 4096, 0x1000, 64K or 1M).")
    return number * scale


def _check_row(partition: Partition, where: str, first: int, flash_size: int) -> None:
    """Raise UsageError unless the partition is aligned and lies within the flash."""
    alignment = APP_ALIGNMENT if partition.type == APP else SECTOR
    if partition.offset % alignment:
        raise UsageError(
            f"{where}: {partition.label} is at {partition.offset:#x}; "
            f"it must be a multiple of {alignment:#x}."
        )
    if not partition.size or partition.size % SECTOR:
        raise UsageError(
            f"{where}: {partition.label} has size {partition.size:#x}; "
            f"it must be a multiple of {SECTOR:#x}, and not 0."
        )
    if partition.offset < first:
        raise UsageError(
            f"{where}: {partition.label} is at {partition.offset:#x}; the bootloader and the "
            f"partition table end at {first:#x}."
        )
    if partition.end > flash_size:
        raise UsageError(
            f"{where}: {partition.label} ends at {partition.end:#x}; the flash ends at "
            f"{flash_size:#x}. Make a partition smaller or use a board with more flash."
        )


def _check_together(rows: list[tuple[str, Partition]], csv: str) -> None:
    """Raise UsageError unless the partitions fit each other and an update has two equal slots."""
    if len(rows) > _MAX_ROWS:
        raise UsageError(f"{csv}: {len(rows)} partitions; a table holds {_MAX_ROWS}.")
    labels: set[str] = set()
    for where, partition in rows:
        if partition.label in labels:
            raise UsageError(f"{where}: there are two partitions named {partition.label}.")
        labels.add(partition.label)
    ordered = sorted(rows, key=lambda row: row[1].offset)
    for (_, before), (where, after) in zip(ordered, ordered[1:], strict=False):
        if after.offset < before.end:
            raise UsageError(
                f"{where}: {after.label} is at {after.offset:#x}, but {before.label} ends at "
                f"{before.end:#x}: they overlap."
            )
    slots = [partition for _, partition in rows if partition.is_slot]
    if len(slots) != 2 or slots[0].size != slots[1].size:
        found = ", ".join(f"{slot.label} of {slot.size:#x}" for slot in slots) or "none"
        raise UsageError(
            f"{csv}: an update needs two slots (ota_0 and ota_1) of equal size; found {found}."
        )
    if {slot.subtype for slot in slots} != {_FIRST_SLOT, _FIRST_SLOT + 1}:
        raise UsageError(f"{csv}: the slots must have the subtypes ota_0 and ota_1.")
    otadata = [p for _, p in rows if (p.type, p.subtype) == (DATA, OTA_DATA)]
    if len(otadata) != 1 or otadata[0].size != 2 * SECTOR:
        raise UsageError(
            f"{csv}: an update needs one partition of type data, subtype ota, size 0x2000."
        )
