"""Reads a project from the table [project] of its mqboard.toml, once into a frozen dataclass.

    [project]
    name = "greenhouse"
    frozen = ["app"]

A key that is unknown or of the wrong type is an error naming the file and the key, and so is a file
or folder that it names and that is not there.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqhost.build.additions import Additions
from mqhost.build.board import Board, find
from mqhost.errors import UsageError
from mqhost.link.settingsfile import Files, check_project
from mqhost.paths import PROJECT
from mqhost.paths import SETTINGS as FILE
from mqhost.project.freezing import modules_of, read_frozen
from mqwire import WireError, app

TABLE = "project"
_KEYS: dict[str, type] = {
    "name": str,
    "version": str,
    "board": str,
    "app": str,
    "frozen": list,
    "manifest": str,
    "c_modules": list,
}
_WORDS: dict[type, str] = {str: "a text", list: "a list of texts"}
# With what git adds, as +g1a2b3c4d.dirty, it is a version that boards take.
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")


@dataclass(frozen=True)
class Project:
    """A project in the folder `root`. `version`: where git has no tag; `board`: the one that is
    built for where nobody names another; `app`: the folder of the application; `frozen`: folders
    whose Python files go into the image; `manifest`: the file that names more of them;
    `c_modules`: folders with modules in C.
    """

    root: Path
    name: str
    version: str = "0.1.0"
    board: str = "sim"
    app: str = "app"
    frozen: tuple[str, ...] = ()
    manifest: str = "manifest.py"
    c_modules: tuple[str, ...] = ()

    @classmethod
    def load(cls, root: Path) -> "Project":
        """Read `root`/mqboard.toml; UsageError naming it and the key if it is wrong."""
        file = root / FILE
        whole = _read(file)
        check_project(whole, file)
        record = whole.get(TABLE)
        if not isinstance(record, dict):
            raise UsageError(f"{file} has no table [{TABLE}]: {root} is no project.")
        _check(record, file)
        lists = {key: tuple(record.get(key, ())) for key in ("frozen", "c_modules")}
        values: dict[str, Any] = {"root": root, "name": root.name} | record | lists
        return cls(**values)

    @property
    def application(self) -> Path:
        """The folder of the application that is deployed by files."""
        return self.root / self.app

    @property
    def has_application(self) -> bool:
        """Whether that folder is there, and not frozen."""
        self._check_application()
        frozen = [(self.root / name).resolve() for name in self.frozen]
        return self.application.is_dir() and self.application.resolve() not in frozen

    @property
    def inputs(self) -> tuple[str, ...]:
        """The files and folders that its firmware is made of, in its own folder."""
        return (*self.frozen, *self.c_modules, "boards", self.manifest, FILE)

    def find_board(self, name: str | None = None) -> Board:
        """Return the board of that name, by default the project's; UsageError if there is none."""
        try:
            return find(name or self.board)
        except UsageError as error:
            where = "" if name else f"{self.root / FILE}: board of [{TABLE}]. "
            raise UsageError(f"{where}{error}") from error

    def additions(self, frozen: tuple[Path, ...] = ()) -> Additions:
        """Return what the project adds to firmware; `frozen` are folders besides those it names."""
        self._check_application()
        folders = [self._place("frozen", name) for name in self.frozen] + list(frozen)
        manifest = self.root / self.manifest
        if self.manifest != Project.manifest and not manifest.is_file():
            raise UsageError(f"{self.root / FILE}: manifest: there is no {manifest}.")
        folders = list(dict.fromkeys(folder.resolve() for folder in folders))
        return Additions(
            self.root,
            self.version,
            inputs=self.inputs,
            frozen=read_frozen(folders),
            modules=modules_of(folders),
            manifest=manifest if manifest.is_file() else None,
            c_modules=tuple(self._place("c_modules", name) for name in self.c_modules),
            besides=bool(frozen),
        )

    def freezes(self, folder: Path) -> bool:
        """Return whether the firmware has `folder` frozen."""
        return any(folder.resolve() == (self.root / name).resolve() for name in self.frozen)

    def check_deployable(self, folder: Path) -> None:
        """Raise UsageError if the firmware has `folder` frozen: what goes to a board by files would
        never run there."""
        if self.freezes(folder):
            raise UsageError(
                f"{folder} is frozen into the firmware, as {self.root / FILE} says, and a board "
                "runs what is frozen before what it has by files. Bring it with mqboard build and "
                "mqboard ota, or take it out of frozen."
            )

    def _check_application(self) -> None:
        if self.app != Project.app:  # what nobody has named need not be there
            self._place("app", self.app)

    def _place(self, key: str, name: str) -> Path:
        folder = self.root / name
        if not folder.is_dir():
            raise UsageError(f"{self.root / FILE}: {key}: there is no folder {folder}.")
        return folder


def here() -> Project | None:
    """Return the project that the working folder is in, None if it is in none."""
    return Project.load(PROJECT) if PROJECT else None


def added(frozen: Iterable[Path] = ()) -> Additions | None:
    """Return what the project here adds to firmware, and the folders `frozen`; None if nothing."""
    folders, project = tuple(frozen), here()
    if project:
        return project.additions(folders)
    if not folders:
        return None
    return Additions(frozen=read_frozen(folders), modules=modules_of(folders), besides=True)


def chosen_board(name: str | None = None) -> Board:
    """Return the board of that name, by default the project's, or without a project the simulated
    one; UsageError if there is none, or if the mqboard.toml here is wrong: its [project] may be
    misspelt."""
    project = here()
    if project:
        return project.find_board(name)
    Files(Path.cwd())
    return find(name or "sim")


def simulated(name: str | None = None) -> Board:
    """Return the board of that name, by default the project's, or that of ours; UsageError if it is
    not a simulated one."""
    project = here()
    if project and not name:
        board = project.find_board()
        if board.port == "unix":
            return board
    board = find(name or "sim")
    if board.port != "unix":
        raise UsageError(
            f"{board.name} is a board with a chip of its own, and is not simulated. Name sim, or a "
            "board that extends it."
        )
    return board


def deployable(folder: Path | None = None) -> Path | None:
    """Return the folder of an application that goes to a board by files: `folder`, by default that
    of the project here, None without one. UsageError if the firmware has it frozen."""
    project = here()
    if project:
        folder = folder or project.application
        project.check_deployable(folder)
    return folder


def need_project(what: str) -> Project:
    """Return the same; UsageError where there is none, with a sentence that begins with `what`."""
    found = here()
    if not found:
        raise UsageError(
            f"{what} works in a project, and neither this folder nor one above it is one: no "
            f"{FILE} has a table [{TABLE}]. Go there, or make one: mqboard new NAME"
        )
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error


def _check(record: dict[str, Any], file: Path) -> None:
    """Raise UsageError unless `record` has only keys of a project, with values of their types."""
    for key, value in record.items():
        where = f"{file}: [{TABLE}]"
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, 1)
            meant = f" Did you mean {close[0]}?" if close else ""
            raise UsageError(f"{where} unknown key {key}. Known: {', '.join(_KEYS)}.{meant}")
        right = isinstance(value, _KEYS[key])
        if isinstance(value, list):
            right = right and all(isinstance(item, str) for item in value)
        if not right:
            raise UsageError(f"{where} {key} is {value!r}; it must be {_WORDS[_KEYS[key]]}.")
    try:
        app.check_word(record.get("name", "app"))
    except WireError as error:
        raise UsageError(f"{file}: [{TABLE}] name: {error}.") from error
    if not _VERSION.fullmatch(record.get("version", "0")):
        raise UsageError(
            f"{file}: [{TABLE}] version is {record['version']!r}; it has 1 to 15 letters, digits, "
            "or . - _"
        )
