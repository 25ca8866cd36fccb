"""Changes a folder all at once: what is written and what is removed happens whole, or not at all.

New files are prepared in `.new`, which is then renamed to `.ready`: that is the moment. From there
they are moved to their places, and whoever opens the folder next finishes what was interrupted.
Each file is replaced by a rename, so a reader sees the old one or the new one.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mqhost.errors import ToolError, UsageError
from mqhost.locks import locked

_NEW, _READY, _DONE = ".new", ".ready", ".done"
_LOCK, _PLAN = ".lock", "plan.json"
PRIVATE, PUBLIC = 0o600, 0o644


@dataclass(frozen=True)
class File:
    """A file to write: its bytes, and whether only its owner may read it."""

    data: bytes
    private: bool = False

    @property
    def mode(self) -> int:
        """Its permissions."""
        return PRIVATE if self.private else PUBLIC


class Folder:
    """The folder at `path`, which nobody but its owner can look into. Names have / between."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, make: bool = True) -> Iterator["Folder"]:
        """Give the folder, made if it is not there, while no other run has it.

        ToolError if it cannot be written; UsageError if it is not there and is not to be made.
        """
        if not make and not path.is_dir():
            raise UsageError(f"There is no folder {path}. Make it: mqboard broker-config --out.")
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(path / _LOCK):
                folder = cls(path)
                folder._finish()
                yield folder
        except OSError as error:
            raise ToolError(f"{error.filename or path} cannot be written: {error.strerror}.") from (
                error
            )

    def read(self, name: str) -> bytes | None:
        """Return the bytes of file `name`; None if there is none."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def mode(self, name: str) -> int | None:
        """Return the permissions of file `name`; None if there is none."""
        try:
            return (self.path / name).stat().st_mode & 0o777
        except FileNotFoundError:
            return None

    def change(self, files: dict[str, File], gone: Iterable[str] = ()) -> None:
        """Write `files`, by their names, and remove those that are `gone`."""
        new = self.path / _NEW
        new.mkdir(mode=0o700)
        for number, file in enumerate(files.values()):
            _write(new / str(number), file)
        plan = {"write": list(files), "remove": list(gone)}
        _write(new / _PLAN, File(json.dumps(plan).encode()))
        _sync(new)
        os.replace(new, self.path / _READY)
        _sync(self.path)
        self._finish()

    def _finish(self) -> None:
        """Do what was decided, and perhaps interrupted: each step can be done twice."""
        for left in (_NEW, _DONE):
            if (self.path / left).exists():
                shutil.rmtree(self.path / left)
        ready = self.path / _READY
        if not ready.exists():
            return
        plan = json.loads((ready / _PLAN).read_text())
        for number, name in enumerate(plan["write"]):
            place = self.path / name
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if (ready / str(number)).exists():  # not moved yet
                os.replace(ready / str(number), place)
        for name in plan["remove"]:
            (self.path / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # there are others in it
                (self.path / name).parent.rmdir()
        for folder in {(self.path / name).parent for name in plan["write"]}:
            _sync(folder)
        os.replace(ready, self.path / _DONE)
        shutil.rmtree(self.path / _DONE)


def _write(path: Path, file: File) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with open(descriptor, "wb") as out:
        out.write(file.data)
        os.fchmod(descriptor, file.mode)
        out.flush()
        os.fsync(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
