"""Gathers the options that a board is built with: of ESP-IDF (sdkconfig), or its own C.

A board's own stand in fragments beside its board.toml; those that follow from its keys are
`computed`; `read_local` reads the files that it names with `sdkconfig`, and those given to `invoke
build --sdkconfig`, which have the last word. ESP-IDF takes fragments only into a fresh build tree,
so `settings` sums up everything that a tree is configured from. On the unix port that is the
board's `own_sources`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mqhost.build.board import Board
from mqhost.build.layers import COMMON, all_files, common
from mqhost.errors import UsageError
from mqhost.flash.layout import MIB

_FLASH_SIZE = "CONFIG_ESPTOOLPY_FLASHSIZE"
_UPSTREAM_FLASH = 4  # MiB: what MicroPython's sdkconfig.base sets

C_MODULES = "modules"  # of what is compiled, the folder of modules in C
_MAKE = "micropython.mk"  # in the folder of each
BOARD_FILES = "boards"  # the folder of a board out of several
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
    files = (*board.sdkconfig, *files)
    if files and board.port != "esp32":
        what = "sdkconfig in its board.toml" if board.sdkconfig else "--sdkconfig"
        raise UsageError(
            f"Board {board.name} is not built with ESP-IDF, so {what} has nothing to set. "
            "Leave it out, or build for an ESP32 board."
        )
    return tuple(LocalOptions(str(file), _lines(file)) for file in files)


def computed(board: Board) -> str:
    """Return the text of a fragment with what follows from the keys of board.toml."""
    size = board.flash_size // MIB
    lines = []
    if size != _UPSTREAM_FLASH:
        lines += [f"{_FLASH_SIZE}_{_UPSTREAM_FLASH}MB=n", f"{_FLASH_SIZE}_{size}MB=y"]
    lines += board.secure.options(board.mcu, board.table.offset)
    return "".join(f"{line}\n" for line in lines)


def fragment(local: Iterable[LocalOptions]) -> str:
    """Return the text of one fragment with all of `local`, later ones last."""
    return "".join(f"{line}\n" for options in local for line in options.lines)


def settings(board: Board, source: Path) -> str:
    """Return what a tree of `board` is configured from: its files, and MicroPython's fragments."""
    folders = board.folders
    own = [path for name, path in all_files(folders).items() if name not in _NOT_CONFIGURED_FROM]
    upstream = (source / "ports" / board.port / "boards").glob("**/sdkconfig.*")
    paths = sorted((*own, *all_files([common(folders)]).values(), *filter(Path.is_file, upstream)))
    # Files that are no text (a .DS_Store, a picture) count as well, and do no harm.
    return "".join(f"{path}\n{path.read_text(errors='replace')}\n" for path in paths)


def own_sources(board: Board) -> dict[str, str]:
    """Return what the unix port is built with of ours: the C headers below the board's folders, by
    their paths in them, and the modules in C, all boards' and its own, below C_MODULES.
    """
    own = all_files(board.folders)
    found = {name: path for name, path in own.items() if name.endswith(".h")}
    made = {Path(name).parent.as_posix() + "/" for name in own if Path(name).name == _MAKE}
    for name, path in (own | all_files([common(board.folders)])).items():
        shared = "/" in name and name not in own
        if re.match(r"\.[chm]", path.suffix) and (shared or name.startswith(tuple(made))):
            found[f"{C_MODULES}/{name}"] = path
    return {name: text_of(path) for name, path in found.items()}


def composed(board: Board) -> dict[str, str]:
    """Return the folder that ESP-IDF is given for a board out of several, and what all boards have
    beside it, both below BOARDS; {} for a board that is such a folder as it is.
    """
    folders = board.folders
    if len(folders) == 1 and common(folders).parent == board.folder.parent:
        return {}
    parts = {board.name: folders, COMMON: (common(folders),)}
    return {
        f"{BOARD_FILES}/{part}/{name}": text_of(path)
        for part, of in parts.items()
        for name, path in all_files(of).items()
    }


def text_of(path: Path) -> str:
    """Return the bytes of a file as a text that a plan can hold; what is no UTF-8 as surrogates."""
    return path.read_bytes().decode(errors="surrogateescape")


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
