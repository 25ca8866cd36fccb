"""Gives a board on the desk its filesystem: a real LittleFS in the vfs partition of its flash.

open(), os.rename() … of on-board code -> Files -> LittleFS -> Flash, where power may go
"""

import contextlib
import errno
import io
import os
import types
from collections.abc import Callable, Iterator
from typing import Any

from littlefs import LittleFS, UserContext, lfs
from littlefs.errors import LittleFSError
from littlefs.lfs import LFSConfig

from mqhost.flash.filesystem import BLOCK, PARAMETERS
from mqhost.flash.partition import Partition
from mqhost.sim.flash import Flash, PowerLost

_TAKEN_OVER = ("rename", "mkdir", "remove")
_FOLDER, _FILE = 0x4000, 0x8000  # the modes that os.stat tells
_LFS_TYPE_DIR = 2  # lfs.h


class Files:
    """The filesystem of a board. `lost(error)` is called when power goes in one of its operations,
    and raises: as the CPU does then, it runs no more. `running()` raises when that was before.
    """

    def __init__(
        self,
        flash: Flash,
        partition: Partition,
        running: Callable[[], None],
        lost: Callable[[PowerLost], None],
    ) -> None:
        self._context = _Context(flash, partition)
        self._running = running
        self._lost = lost
        self._mounted: LittleFS | None = None
        self.formatted = 0  # how many times there was none that could be mounted

    def mount(self) -> None:
        """Mount it, made anew if it cannot be, as _boot.py does."""
        self._context.lost = None
        count = self._context.partition.size // BLOCK
        filesystem = LittleFS(self._context, mount=False, block_count=count, **PARAMETERS)
        try:
            filesystem.mount()
        except LittleFSError:
            self.formatted += 1
            filesystem.format()
            filesystem.mount()
        with contextlib.suppress(LittleFSError):
            lfs.remove(filesystem.fs, "/.nothing")
        if self._context.lost:
            self._lost(self._context.lost)
        self._mounted = filesystem

    def open(self, path: str, mode: str = "r") -> io.IOBase:
        """Open a file, as the builtin does on a board: what is written is so with the last line of
        its `with` block.
        """
        if "w" not in mode and "a" not in mode:
            data = self._do(lambda filesystem: _read(filesystem, path))
            return io.BytesIO(data) if "b" in mode else io.StringIO(data.decode())
        kind = io.BytesIO if "b" in mode else io.StringIO
        return _Written(kind, lambda data: self._do(lambda fs: _write(fs, path, data, mode[0])))

    def os(self) -> types.ModuleType:
        """Return the module os with the functions that are about files being this one's."""
        module = types.ModuleType("os")
        module.__dict__.update(os.__dict__)
        for name in _TAKEN_OVER:
            module.__dict__[name] = self._function(name)
        module.__dict__["rmdir"] = module.__dict__["remove"]
        module.__dict__["listdir"] = lambda path: self._do(lambda fs: fs.listdir(path))
        module.__dict__["ilistdir"] = lambda path: self._do(lambda fs: _ilistdir(fs, path))
        module.__dict__["stat"] = lambda path: self._do(lambda fs: _stat(fs, path))
        module.__dict__["statvfs"] = lambda path: self._do(_statvfs)
        return module

    def walk(self, folder: str) -> list[str]:
        """Return the paths, in `folder`, of all files below it."""
        found = []
        for name in self._do(lambda fs: fs.listdir(folder)):
            path = f"{folder}/{name}"
            if self._do(lambda fs, path=path: _stat(fs, path))[0] == _FOLDER:
                found += [f"{name}/{inner}" for inner in self.walk(path)]
            else:
                found.append(name)
        return found

    def _function(self, name: str) -> Callable:
        return lambda *paths: self._do(lambda fs: getattr(lfs, name)(fs.fs, *paths))

    def _do(self, work: Callable[[LittleFS], Any]) -> Any:
        """Do `work` with the filesystem, with a board's errors and its ways to end."""
        self._running()
        assert self._mounted
        try:
            return work(self._mounted)
        except LittleFSError as error:
            if self._context.lost:
                self._lost(self._context.lost)
            raise OSError(-error.code, error.name) from error


class _Written:
    """A file that is being written; it is when the `with` block ends."""

    def __init__(self, kind: Callable[[], io.IOBase], store: Callable[[bytes], None]) -> None:
        self._buffer = kind()
        self._store = store

    def __enter__(self) -> io.IOBase:
        return self._buffer

    def __exit__(self, *error: object) -> None:
        data = self._buffer.getvalue()  # type: ignore[attr-defined]
        self._store(data.encode() if isinstance(data, str) else data)


class _Context(UserContext):
    """The block device: an exception in a callback of LittleFS would be lost, so it is kept."""

    def __init__(self, flash: Flash, partition: Partition) -> None:
        super().__init__(buffer=bytearray())
        self._flash = flash
        self.partition = partition
        self.lost: PowerLost | None = None

    def read(self, cfg: LFSConfig, block: int, off: int, size: int) -> bytearray:
        return bytearray(self._flash.read(self._address(block, off), size))

    def prog(self, cfg: LFSConfig, block: int, off: int, data: bytes) -> int:
        return self._operate(lambda: self._flash.program(self._address(block, off), data))

    def erase(self, cfg: LFSConfig, block: int) -> int:
        return self._operate(lambda: self._flash.erase(self._address(block, 0)))

    def _address(self, block: int, offset: int) -> int:
        return self.partition.offset + block * BLOCK + offset

    def _operate(self, operation: Callable[[], None]) -> int:
        if not self.lost:
            try:
                operation()
                return 0
            except PowerLost as error:
                self.lost = error
        return -errno.EIO


# With the functions below LittleFS's file objects: these close a file again that could not be.


def _stat(filesystem: LittleFS, path: str) -> tuple[int, ...]:
    facts = lfs.stat(filesystem.fs, path)
    mode = _FOLDER if facts.type == _LFS_TYPE_DIR else _FILE
    return (mode, 0, 0, 0, 0, 0, facts.size, 0, 0, 0)


def _ilistdir(filesystem: LittleFS, path: str) -> Iterator[tuple[str, int, int, int]]:
    kinds = {1: _FILE, _LFS_TYPE_DIR: _FOLDER}
    found = [(each.name, kinds[each.type], 0, each.size) for each in filesystem.scandir(path)]
    return iter(found)


def _statvfs(filesystem: LittleFS) -> tuple[int, ...]:
    count = filesystem.block_count
    free = count - filesystem.used_block_count
    return (BLOCK, BLOCK, count, free, free, 0, 0, 0, 0, 255)


def _read(filesystem: LittleFS, path: str) -> bytes:
    file = lfs.file_open(filesystem.fs, path, "r")
    try:
        return lfs.file_read(filesystem.fs, file, lfs.file_size(filesystem.fs, file))
    finally:
        lfs.file_close(filesystem.fs, file)


def _write(filesystem: LittleFS, path: str, data: bytes, mode: str) -> None:
    file = lfs.file_open(filesystem.fs, path, mode)
    try:
        lfs.file_write(filesystem.fs, file, data)
    finally:
        lfs.file_close(filesystem.fs, file)
