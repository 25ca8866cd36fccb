"""Reads the folder that a board imports from: its listing, and the bytes of a file in it.

Only files within the folder are served, wherever links in it lead: a path is one that the listing
has, and is resolved again when it is read.
"""

import fnmatch
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mqhost.errors import UsageError
from mqwire import mount as wire

if TYPE_CHECKING:
    from mqhost.deploy.compile import Compiler

# What is never served: what begins with a dot, and what tools leave.
_IGNORED = (".*", "__pycache__", "*.pyc", "*~")
_MAX_NAME = 255
_Known = tuple[int, int]  # when a file was changed, and its size


class Folder:
    """The folder `path`. `compile`: a .py file is served as the .mpy that it makes.

    UsageError if it is none.
    """

    def __init__(self, path: Path, compile: bool = False) -> None:
        if not path.is_dir():
            raise UsageError(f"{path} is no folder. Name the one that the board is to import from.")
        self.path = path
        self._root = path.resolve()
        self._compiler = _compiler() if compile else None
        self._compiled: dict[str, tuple[_Known, bytes | None]] = {}  # None: it cannot be
        self._sources: dict[str, str] = {}  # of the .mpy files in the listing, their .py files

    def listing(self) -> bytes:
        """Return what there is, as mqwire.mount has it. UsageError if that is too much."""
        lines = {}
        self._sources = {}
        for path, status in _walk(self._root, self._root):
            if stat.S_ISDIR(status.st_mode):
                lines[path] = f"{path}\0-"
                continue
            name, size = path, status.st_size
            if self._compiler and path.endswith(".py"):
                data = self._compile(path, (status.st_mtime_ns, size))
                if data is not None:  # else the board says what is wrong with it
                    name, size = path.removesuffix(".py") + ".mpy", len(data)
                    self._sources[name] = path
            lines[name] = f"{name}\0{size}"
        listing = "\n".join(lines.values()).encode()
        if len(listing) > wire.MAX_LISTING:
            raise UsageError(
                f"{self.path} has {len(lines):,} files and folders: their names are "
                f"{len(listing):,} B, and {wire.MAX_LISTING:,} B is the most that a board keeps. "
                "Mount the folder in it that has what the board imports."
            )
        return listing

    def read(self, path: str) -> bytes:
        """Return what the file `path` of the listing holds; OSError, as for a file that is none."""
        source = self._sources.get(path)
        path = source or path
        target = (self._root / path).resolve()
        if not target.is_relative_to(self._root) or not _is_served(path):
            raise FileNotFoundError(path)
        status = target.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(path)
        if source:
            data = self._compile(source, (status.st_mtime_ns, status.st_size))
            if data is None:
                raise FileNotFoundError(path)
            return data
        return target.read_bytes()

    def _compile(self, path: str, known: _Known) -> bytes | None:
        before = self._compiled.get(path)
        if before is None or before[0] != known:
            assert self._compiler is not None
            try:
                data = self._compiler.compile(path, (self._root / path).read_bytes())
            except (UsageError, OSError):
                data = None
            before = self._compiled[path] = (known, data)
        return before[1]


def _compiler() -> "Compiler":
    from mqhost.deploy.compile import Compiler  # it takes what only builds need

    return Compiler(wire.PATH.strip("/"))


def _is_served(path: str) -> bool:
    parts = path.split("/")
    return ".." not in parts and not any(
        fnmatch.fnmatchcase(part, shape) for part in parts for shape in _IGNORED
    )


def _walk(root: Path, folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in `folder` and below: the path in `root`, and its status."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        place = folder / name
        path = place.relative_to(root).as_posix()
        if not _is_served(name) or not _is_name(name):
            continue
        try:
            if not place.resolve().is_relative_to(root):
                continue
            status = place.stat()
        except (OSError, RuntimeError):
            continue  # gone meanwhile, a link to nothing or to itself
        if stat.S_ISREG(status.st_mode):
            yield path, status
        elif stat.S_ISDIR(status.st_mode) and not place.is_symlink():  # no circles
            yield path, status
            yield from _walk(root, place)


def _is_name(name: str) -> bool:
    """Return whether a name can stand in a listing."""
    try:
        return "\n" not in name and len(name.encode()) <= _MAX_NAME
    except UnicodeEncodeError:
        return False
