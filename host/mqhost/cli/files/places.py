"""Reads paths from the command line: those that begin with `:` are on the board, as in mpremote."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mqhost.errors import UsageError
from mqhost.progress import Progress, silent
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.faults import make_folder, shown
from mqhost.remote.trees import join

_WORDS = {"put": "putting", "get": "getting", "rm": "removing", "copy": "copying"}
_SIZES = {"put": 1, "get": 1}


def on_board(text: str) -> bool:
    """Return whether a path is marked as one on the board."""
    return text.startswith(":")


def board_path(text: str) -> str:
    """Return the board's path that a word of the line means, with the mark or without."""
    return text[1:] if on_board(text) else text


def name_of(path: str) -> str:
    """Return the last name of a board's path; "" of the root folder."""
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            names = names[:-1]
        elif name not in ("", "."):
            names.append(name)
    return names[-1] if names else ""


def targets(files: BoardFiles, names: Sequence[str], destination: str) -> list[str]:
    """Return where on the board things with these names go: into the folder `destination`, or, a
    single one, in its place. UsageError if several cannot.
    """
    found = files.stat(destination)
    if found and found.is_folder:
        _check_differ(names, shown(destination))
        return [join(destination, name) for name in names]
    if found and destination.endswith("/"):
        raise UsageError(f"{shown(destination)} is a file on the board, not a folder.")
    if destination.endswith("/"):
        raise UsageError(
            f"{shown(destination)} is no folder on the board. "
            + make_folder(files.session, destination)
        )
    if len(names) > 1:
        raise UsageError(f"{len(names)} things go into a folder, and :{destination} is none.")
    return [destination]


def local_targets(names: Sequence[str], destination: Path, as_folder: bool) -> list[Path]:
    """Return where on this machine things with these names go, in the same way."""
    if destination.is_dir():
        _check_differ(names, str(destination))
        return [destination / name for name in names]
    if as_folder:
        raise UsageError(f"{destination} is no folder here. Make it first.")
    if len(names) > 1:
        raise UsageError(f"{len(names)} things go into a folder, and {destination} is none.")
    return [destination]


def _check_differ(names: Sequence[str], destination: str) -> None:
    """Raise UsageError if one thing would replace another of the same name."""
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two things named {name} go into {destination}. Nothing was done.")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Give a progress callback that shows a bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console  # who has no terminal need not wait for these

    from mqhost.cli.terminal.display import Display

    with Display(Console(stderr=True), _WORDS, _SIZES) as display:
        yield display.show
