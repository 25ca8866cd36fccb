"""Puts a board together from its own folder and the board that it extends.

    boards/shed/board.toml: extends = "esp32"  →  the keys of both, and the folders, its own first

What the own folder says or has goes before what the base does, key by key and file by file. A base
may extend another one. It lies beside the board, or is one of MQBoard's own.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mqhost.errors import UsageError
from mqhost.paths import BOARDS

EXTENDS = "extends"
FILE = "board.toml"
COMMON = "common"  # the folder of what all boards have
Keys = dict[str, Any]


def read_keys(folder: Path) -> Keys:
    """Return what `folder`/board.toml says; UsageError if it cannot be read."""
    file = folder / FILE
    try:
        return tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot read the board's definition: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML: {error}.") from error


def layers(folder: Path) -> tuple[tuple[Path, Keys], ...]:
    """Return the board's folder and those of the boards that it extends, each with its own keys;
    UsageError naming the file if there is no such board, or if one extends itself."""
    found = [(folder, read_keys(folder))]
    while EXTENDS in found[-1][1]:
        here, keys = found[-1]
        base = _base(here, keys[EXTENDS])
        if any(base == layer for layer, _ in found):
            names = " extends ".join([layer.name for layer, _ in found] + [base.name])
            raise UsageError(f"{folder / FILE}: {names}, which never ends. Extend another board.")
        found.append((base, read_keys(base)))
    return tuple(found)


def file_of(folders: Iterable[Path], name: str) -> Path:
    """Return the file `name` of the first of `folders` that has it; where it would be in the first
    if none has."""
    places = [folder / name for folder in folders]
    return next((path for path in places if path.is_file()), places[0])


def all_files(folders: Iterable[Path]) -> dict[str, Path]:
    """Return the files in and below `folders` by their paths in them, those of the first first."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found.setdefault(path.relative_to(folder).as_posix(), path)
    return found


def common(folders: Iterable[Path]) -> Path:
    """Return the folder of what all boards have: that beside the board at the bottom, or ours."""
    beside = tuple(folders)[-1].parent / COMMON
    return beside if beside.is_dir() else BOARDS / COMMON


def _base(folder: Path, name: object) -> Path:
    """Return the folder of the board `name`, which the board in `folder` extends."""
    file = folder / FILE
    if not isinstance(name, str):
        raise UsageError(f"{file}: {EXTENDS} is {name!r}; it must be a text, the name of a board.")
    places = folder.parent, BOARDS
    for place in places:
        base = place / name
        # A board of one's own may be called like the one of ours that it extends.
        if Path(name).name == name and base != folder and (base / FILE).is_file():
            return base
    there = {path.parent for place in places for path in place.glob(f"*/{FILE}")} - {folder}
    known = ", ".join(sorted(path.name for path in there))
    raise UsageError(f"{file}: {EXTENDS} is {name!r}, and there is no such board. Known: {known}.")
