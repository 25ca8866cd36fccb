"""Stores keys and values in the nvs partition: a log in one half, compacted into the other.

A value is replaced by appending a record; the last record of a key counts. When a half is full, the
living records (with the new one in its old one's place) are written into the other half, whose
header comes last: until it stands, the old half is the truth. So a power cut at any moment leaves
the value before or the value after. The layout is our own; limits and errors are those of ESP-IDF's
NVS library (names of 1 to 15 characters), except that all values together must fit into one half.
"""

import binascii
import struct

from mqhost.flash.partition import Partition
from mqhost.sim.esperror import (
    NvsInvalidName,
    NvsKeyTooLong,
    NvsNotEnoughSpace,
    NvsNotFound,
    NvsTypeMismatch,
)
from mqhost.sim.flash import Flash
from mqwire.flash import SECTOR

I32 = 1
BLOB = 2
_ERASED = 0

# A half begins with its magic, generation (the higher one counts) and the CRC of both.
_HALF = "<4sII"
_HALF_SIZE = struct.calcsize(_HALF)
_MAGIC = b"NVS1"

# A record: CRC-32 of all that follows, kind, lengths of namespace, key and value; then these,
# padded to 4 bytes. A whole record header of 0xFF means: blank from here on.
_RECORD = "<IBBBxH"
_RECORD_SIZE = struct.calcsize(_RECORD)
_BLANK = b"\xff" * _RECORD_SIZE
_MAX_NAME = 15

_Name = tuple[bytes, bytes]
_Value = tuple[int, bytes]


class Nvs:
    """The store in `partition` of `flash`; formats it when it holds none."""

    def __init__(self, flash: Flash, partition: Partition):
        self._flash = flash
        self._half_size = partition.size // (2 * SECTOR) * SECTOR
        self._halves = (partition.offset, partition.offset + self._half_size)
        self._values: dict[_Name, _Value] = {}
        self._half = 0
        self._generation = 0
        # Where the next record goes; the half's end when it must be compacted first.
        self._free = self._half_size
        self._load()

    def get(self, namespace: bytes, key: bytes, kind: int) -> bytes:
        """Return the value (an I32 as 4 bytes). Raises NvsNotFound or NvsTypeMismatch."""
        _check_names(namespace, key)
        if (namespace, key) not in self._values:
            raise NvsNotFound()
        found, value = self._values[namespace, key]
        if found != kind:
            raise NvsTypeMismatch()
        return value

    def set(self, namespace: bytes, key: bytes, kind: int, value: bytes) -> None:
        """Keep `value`; it is in flash when this returns. Raises NvsNotEnoughSpace."""
        _check_names(namespace, key)
        if self._values.get((namespace, key)) != (kind, value):
            self._put((namespace, key), (kind, value))

    def erase(self, namespace: bytes, key: bytes) -> None:
        """Forget a key. Raises NvsNotFound."""
        _check_names(namespace, key)
        if (namespace, key) not in self._values:
            raise NvsNotFound()
        self._put((namespace, key), (_ERASED, b""))

    def _put(self, name: _Name, value: _Value) -> None:
        record = _pack(name, value)
        if self._free + len(record) <= self._half_size:
            position, self._free = self._free, self._half_size  # in doubt until it is written
            self._flash.program(self._halves[self._half] + position, record)
            self._free = position + len(record)
            _apply(self._values, name, value)
        else:
            values = dict(self._values)
            _apply(values, name, value)
            self._compact(values)

    def _compact(self, values: dict[_Name, _Value]) -> None:
        """Write `values` into the other half, and only then make it the one that counts."""
        records = b"".join(_pack(name, value) for name, value in values.items())
        if _HALF_SIZE + len(records) > self._half_size:
            raise NvsNotEnoughSpace()
        half = 1 - self._half
        start = self._halves[half]
        self._flash.erase(start, self._half_size)
        self._flash.program(start + _HALF_SIZE, records)
        head = struct.pack("<4sI", _MAGIC, self._generation + 1)
        self._flash.program(start, head + struct.pack("<I", binascii.crc32(head)))
        self._half, self._generation, self._values = half, self._generation + 1, values
        self._free = _HALF_SIZE + len(records)

    def _load(self) -> None:
        """Read the newer half; an empty store is formatted at its first write."""
        generations = [self._read_generation(half) for half in (0, 1)]
        self._half = 0 if generations[0] >= generations[1] else 1
        self._generation = generations[self._half]
        if self._generation:
            self._free = self._replay(self._flash.read(self._halves[self._half], self._half_size))

    def _read_generation(self, half: int) -> int:
        head = self._flash.read(self._halves[half], _HALF_SIZE)
        magic, generation, crc = struct.unpack(_HALF, head)
        return generation if magic == _MAGIC and crc == binascii.crc32(head[:8]) else 0

    def _replay(self, data: bytes) -> int:
        """Apply the records of a half; return where the next one goes."""
        position = _HALF_SIZE
        while position + _RECORD_SIZE <= len(data):
            head = data[position : position + _RECORD_SIZE]
            if head == _BLANK:
                # A record cut off so early that nothing shows may still have touched what follows.
                rest = data[position:]
                return position if rest.count(0xFF) == len(rest) else len(data)
            crc, kind, space_size, key_size, value_size = struct.unpack(_RECORD, head)
            end = position + _RECORD_SIZE + space_size + key_size + value_size
            body = data[position + 4 : end]
            if end > len(data) or crc != binascii.crc32(body):
                return len(data)  # torn by a power cut: nothing after it, and nothing may follow
            names = body[_RECORD_SIZE - 4 :]
            name = (names[:space_size], names[space_size : space_size + key_size])
            _apply(self._values, name, (kind, names[space_size + key_size :]))
            position = end + -end % 4
        return len(data)


def _check_names(*names: bytes) -> None:
    for name in names:
        if not name:
            raise NvsInvalidName()
        if len(name) > _MAX_NAME:
            raise NvsKeyTooLong()


def _apply(values: dict[_Name, _Value], name: _Name, value: _Value) -> None:
    if value[0] == _ERASED:
        values.pop(name, None)
    else:
        values[name] = value


def _pack(name: _Name, value: _Value) -> bytes:
    """Make a record, padded with 0xFF to 4 bytes."""
    kind, data = value
    if len(data) > 0xFFFE:
        raise NvsNotEnoughSpace()
    lengths = struct.pack(_RECORD, 0, kind, len(name[0]), len(name[1]), len(data))[4:]
    body = lengths + name[0] + name[1] + data
    record = struct.pack("<I", binascii.crc32(body)) + body
    return record + b"\xff" * (-len(record) % 4)
