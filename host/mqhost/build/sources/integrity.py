"""Checks that a source in our own cache is still what was put there: its files with their sizes.

The list is written into the folder before that gets its final name, so a whole folder has one.
"""

import os
from collections.abc import Iterator
from pathlib import Path

_LIST = ".mqboard-files"
_HEADER = Path("py", "mpconfig.h")


def record(folder: Path) -> None:
    """Note which files the source in `folder` has."""
    lines = sorted(f"{size} {name}\n" for name, size in _files(folder))
    (folder / _LIST).write_text("".join(lines), errors="surrogateescape")


def intact(folder: Path) -> bool:
    """Return whether `folder` is there and nothing noted is missing or has changed its size."""
    try:
        # For a folder without a list, from before there were any, this has to do.
        if b"MICROPY_VERSION_MICRO" not in (folder / _HEADER).read_bytes():
            return False
        listed = (folder / _LIST).read_text(errors="surrogateescape").splitlines()
        sizes = (line.split(" ", 1) for line in listed)
        return all(os.stat(f"{folder}/{name}").st_size == int(size) for size, name in sizes)
    except FileNotFoundError as error:
        return error.filename == str(folder / _LIST)
    except (OSError, ValueError):
        return False


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield (path below `folder`, bytes) of its files, git's own and links left out."""
    for place, folders, names in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        for name in names:
            path = Path(place, name)
            if not path.is_symlink() and name != _LIST:
                yield str(path.relative_to(folder)), path.stat().st_size
