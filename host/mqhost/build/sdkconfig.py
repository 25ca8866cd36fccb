"""Gathers the options that a board is built with: of ESP-IDF (sdkconfig), or its own C.

A board's own stand in fragments beside its board.toml; `read_local` reads the files given to
`invoke build --sdkconfig`, which have the last word. ESP-IDF takes fragments only into a fresh
build tree, so `settings` sums up everything that a tree is configured from. On the unix port that
is the board's `own_sources`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mqhost.build.board import Board
from mqhost.errors import UsageError

C_MODULES = "modules"  # of what is compiled, the folder of modules in C
_LINE = re.compile(r'CONFIG_[A-Z0-9_]+=(?:|y|n|-?\d+|0x[0-9a-fA-F]+|"[^"]*")|#.*|')
# Said by hand of the boards: where they are, and what they are called.
_NOT_CONFIGURED_FROM = {"board.toml", "board.json"}


@dataclass(frozen=True)
class LocalOptions:
    """One file of options: `name` as it was given, and its `lines` that set something."""

    name: str
    lines: tuple[str, ...]


def read_local(board: Board, files: Iterable[Path]) -> tuple[LocalOptions, ...]:
    """Read the files; UsageError naming file and line if one is no sdkconfig, or fits no board."""
    files = tuple(files)
    if files and board.port != "esp32":
        raise UsageError(
            f"Board {board.name} is not built with ESP-IDF, so --sdkconfig has nothing to set. "
            "Leave it out, or build for an ESP32 board."
        )
    return tuple(LocalOptions(str(file), _lines(file)) for file in files)


def fragment(local: Iterable[LocalOptions]) -> str:
    """Return the text of one fragment with all of `local`, later ones last."""
    return "".join(f"{line}\n" for options in local for line in options.lines)


def settings(board: Board, source: Path) -> str:
    """Return what a tree of `board` is configured from: its files, and MicroPython's fragments."""
    own = [path for path in board.folder.iterdir() if path.name not in _NOT_CONFIGURED_FROM]
    common = _common(board).rglob("*")
    upstream = (source / "ports" / board.port / "boards").glob("**/sdkconfig.*")
    paths = sorted(path for path in (*own, *common, *upstream) if path.is_file())
    # Files that are no text (a .DS_Store, a picture) count as well, and do no harm.
    return "".join(f"{path}\n{path.read_text(errors='replace')}\n" for path in paths)


def own_sources(board: Board) -> dict[str, str]:
    """Return the C headers below the board's folder, by their paths in it, and all boards' modules
    in C, below C_MODULES; what is no UTF-8 as surrogates.
    """
    found = {}
    for path in sorted(board.folder.rglob("*.h")):
        found[path.relative_to(board.folder).as_posix()] = path
    common = _common(board)
    for path in sorted(common.rglob("*.[chm]*")):
        if path.is_file() and path.parent != common:
            found[f"{C_MODULES}/{path.relative_to(common).as_posix()}"] = path
    return {name: path.read_text(errors="surrogateescape") for name, path in found.items()}


def _common(board: Board) -> Path:
    """Return the folder of what all boards have."""
    return board.folder.parent / "common"


def _lines(file: Path) -> tuple[str, ...]:
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot read the sdkconfig options: {error}.") from error
    for number, line in enumerate(lines, 1):
        if not _LINE.fullmatch(line):
            raise UsageError(
                f"{file}, line {number}: {line!r} sets no option; "
                'write it as CONFIG_NAME=y, =n, =number or ="text".'
            )
    return tuple(line for line in lines if line and not line.startswith("#"))
