"""Stands in for the ESP32 port's `esp32`: Partition and NVS, on the simulated chip.

Signatures, results and errors are those of the port's esp32_partition.c and esp32_nvs.c. The
partitions are read from the table in flash, as ESP-IDF does. NVS is in _nvs.py.
"""

import struct
import sys

import _bus
from micropython import const

_ERASE = const(5)
_PROGRAM = const(6)
_BOOT_SLOT = const(7)
_SET_BOOT = const(8)
_MARK_VALID = const(9)
_TABLE = const(0x8000)
_ROW = const("<HBBII16sI")
_ROW_SIZE = const(32)
_ROW_MAGIC = const(0x50AA)
_MAX_ROWS = const(95)
_SECTOR = const(4096)
_PIECE = const(4096)  # the most that one request to the chip programs
_ANY = const(0xFF)
_FIRST_SLOT = const(0x10)
_LAST_SLOT = const(0x1F)


class Partition:
    """A partition of flash: a block device, and the app slots' part in updates."""

    BOOT = const(0)
    RUNNING = const(1)
    TYPE_APP = const(0)
    TYPE_DATA = const(1)

    def __init__(self, which, block_size=_SECTOR):
        if isinstance(which, str):
            rows = _rows(0, _ANY, which) or _rows(1, _ANY, which)
        elif which == self.RUNNING:
            rows = _rows_at(_bus.running)
        elif which == self.BOOT:
            rows = _rows_at(_bus.call(_BOOT_SLOT))
        else:
            raise ValueError
        self._set(rows, block_size)

    def _set(self, rows, block_size):
        if not rows:
            raise OSError(2)  # ENOENT
        self._info = rows[0]
        self._block_size = block_size
        self._cache = bytearray(_SECTOR) if block_size < _SECTOR else None

    @staticmethod
    def find(type=TYPE_APP, subtype=_ANY, label=None, block_size=_SECTOR):
        """Return all partitions that fit, as a list."""
        return [_partition((row,), block_size) for row in _rows(type, subtype, label)]

    def info(self):
        """Return (type, subtype, address, size, label, encrypted)."""
        return self._info

    def readblocks(self, block, buffer, offset=0):
        """Fill `buffer` from a block on."""
        address = block * self._block_size + offset
        self._check(address, len(buffer))
        if self._info[0] == self.TYPE_APP:
            _bus.slot_bytes_read += len(buffer)
        _bus.read_flash(self._info[2] + address, buffer)

    def writeblocks(self, block, buffer, offset=None):
        """Write `buffer` from a block on; without an offset its blocks are erased first."""
        address = block * self._block_size
        if offset is not None:
            self._program(address + offset, buffer)
        elif self._cache:
            self._rewrite(address, buffer)
        else:
            self._erase(address, len(buffer))
            self._program(address, buffer)

    def ioctl(self, operation, argument):
        """Do what the block device protocol's control call asks."""
        if operation in (1, 2, 3):  # begin, end, sync
            return 0
        if operation == 4:
            return self._info[3] // self._block_size
        if operation == 5:
            return self._block_size
        if operation == 6:
            if self._cache:
                return -22  # EINVAL
            self._erase(argument * _SECTOR, _SECTOR)
            return 0
        return None

    def set_boot(self):
        """Make this slot the one to boot next, if it holds a valid image."""
        _bus.call(_SET_BOOT, self._info[2])

    def get_next_update(self):
        """Return the slot after this one, going round: the one to write an update to."""
        slots = [row for row in _rows(0, _ANY, None) if _FIRST_SLOT <= row[1] <= _LAST_SLOT]
        index = 0
        for number, row in enumerate(slots):
            if row[2] == self._info[2]:
                index = (number + 1) % len(slots)
        return _partition(slots[index:], _SECTOR)

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        """Confirm the running image."""
        _bus.call(_MARK_VALID)

    def __repr__(self):
        return (
            "<Partition type=%u, subtype=%u, address=%u, size=%u, label=%s, encrypted=%u>"
            % self._info
        )

    def _check(self, address, size):
        if address < 0 or address > self._info[3]:
            raise OSError(-0x102, "ESP_ERR_INVALID_ARG")
        if address + size > self._info[3]:
            raise OSError(-0x104, "ESP_ERR_INVALID_SIZE")

    def _erase(self, address, size):
        self._check(address, size)
        _bus.call(_ERASE, self._info[2] + address, size)

    def _program(self, address, buffer):
        size = len(buffer)
        self._check(address, size)
        address += self._info[2]
        if size <= _PIECE:
            _bus.call(_PROGRAM, address, 0, buffer)
            return
        view = memoryview(buffer)
        for start in range(0, size, _PIECE):
            _bus.call(_PROGRAM, address + start, 0, view[start : start + _PIECE])

    def _rewrite(self, address, buffer):
        """Erase and write blocks smaller than a sector, keeping the rest of their sectors."""
        view = memoryview(buffer)
        cache = memoryview(self._cache)
        while view:
            start = address % _SECTOR
            count = min(len(view), _SECTOR - start)
            sector = address - start
            self.readblocks(0, self._cache, sector)
            cache[start : start + count] = view[:count]
            self._erase(sector, _SECTOR)
            self._program(sector, self._cache)
            view = view[count:]
            address += count


def _partition(rows, block_size):
    partition = object.__new__(Partition)
    partition._set(rows, block_size)
    return partition


def _rows(type, subtype, label):
    """Return the rows of the partition table that fit, as `Partition.info` tuples."""
    found = []
    row = bytearray(_ROW_SIZE)
    for number in range(_MAX_ROWS):
        _bus.read_flash(_TABLE + number * _ROW_SIZE, row)
        magic, kind, kind2, offset, size, name, flags = struct.unpack(_ROW, row)
        if magic != _ROW_MAGIC:
            break
        if kind == type and subtype in (_ANY, kind2):
            name = str(name.rstrip(b"\0"), "utf-8")
            if label is None or label == name:
                found.append((kind, kind2, offset, size, name, bool(flags & 1)))
    return found


def _rows_at(address):
    return [row for row in _rows(0, _ANY, None) if row[2] == address]


def __getattr__(name):
    if name.startswith("__"):  # CPython asks for such: ci/desk
        raise AttributeError(name)
    # They have no state of their own: loaded for each use and not kept. A chip has them in its ROM.
    module = "_nvs" if name == "NVS" else "_wake"
    found = getattr(__import__(module), name)
    sys.modules.pop(module)
    return found
