"""Carries whole folders: from a board to this machine and back, with what is in them."""

import hashlib
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mqhost.errors import ToolError, UsageError
from mqhost.progress import Progress, silent
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.getting import Wanted
from mqhost.remote.landing import Landing
from mqhost.remote.records import Carried, Entry

_AT_ONCE = 1 << 20  # bytes of files that are kept in memory while more of them come


def get_tree(
    files: BoardFiles, remote: str, folder: Path, *, progress: Progress = silent
) -> list[Carried]:
    """Get all that is in the board's folder `remote` into `folder`; return the files.

    Nothing is written outside of `folder`. What is in it already and not on the board stays. A file
    that cannot be got (it was removed meanwhile) is an error once all others are there. `progress`
    is told "get", and bytes.
    """
    landing = Landing(folder)
    entries = files.ls(remote, recursive=True)
    for entry in entries:
        landing.place(entry.path)  # before anything is written
    landing.root.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        if entry.is_folder:
            landing.make_folder(entry.path)
    found = [entry for entry in entries if not entry.is_folder]
    total = sum(entry.size or 0 for entry in found)
    written: list[Carried] = []
    failures: list[ToolError] = []
    before = 0
    for some in _batches(found):
        wanted = {join(remote, entry.path): entry for entry in some}
        items = [Wanted(path, entry.size) for path, entry in wanted.items()]

        def tell(what: str, done: int, _: int, before: int = before) -> None:
            progress(what, min(before + done, total), total)

        files.read_all(items, tell)
        for item in items:
            if item.data is None:
                assert item.error is not None
                failures.append(item.error)
            else:
                place = landing.write(wanted[item.path].path, item.data)
                written.append(got(item.path, item.data, place))
                before += len(item.data)
    if failures:
        raise failures[0]
    return written


def put_tree(
    files: BoardFiles, folder: Path, remote: str, *, progress: Progress = silent
) -> list[Carried]:
    """Put all that is in `folder` into the board's folder `remote`; return the files.

    Folders are made, empty ones, too; what is on the board already and not here stays. Links to
    files are followed, links to folders are not. `progress` is told "put", and bytes.
    """
    folders, sources = local_tree(folder)
    try:
        total = sum(place.stat().st_size for place in sources.values())
    except OSError as error:
        raise cannot_read(folder, error) from error
    paths = [join(remote, path) for path in folders]
    files.mkdir([remote, *paths], parents=True)
    found = {join(remote, path): place for path, place in sources.items()}
    return put_files(files, found, total=total, progress=progress)


def put_files(
    files: BoardFiles, found: Mapping[str, Path], *, total: int = 0, progress: Progress = silent
) -> list[Carried]:
    """Put files of this machine, by their paths on the board; return them. `progress` is told
    "put", and bytes of `total`.
    """
    contents = [(path, reader(place)) for path, place in found.items()]
    done = files.write_all(contents, total=total, progress=progress)
    return [replace(each, local=found[each.path]) for each in done]


def got(path: str, data: bytes, place: Path) -> Carried:
    """Return what is said of the board's file `path`, with `data` in it, that is here `place`."""
    return Carried(path, len(data), hashlib.sha256(data).hexdigest(), local=place)


def copied(files: BoardFiles, source: str, target: str) -> list[Carried]:
    """Return what is said of a file or a folder of the board that was copied there to `target`."""
    places = {target: source}
    if (found := files.stat(source)) and found.is_folder:
        entries = files.ls(source, recursive=True)
        names = [entry.path for entry in entries if not entry.is_folder]
        places = {join(target, name): join(source, name) for name in names}
    there = zip(places.items(), files.stat_all(places, sha=True), strict=True)
    return [
        Carried(path, entry.size or 0, entry.sha256 or "", source=whence)
        for (path, whence), entry in there
        if entry
    ]


def local_tree(folder: Path) -> tuple[list[str], dict[str, Path]]:
    """Return the folders in `folder`, and its files: paths from there, as a board has them.

    UsageError when something cannot be listed, or has a name that is no UTF-8.
    """
    folders: list[str] = []
    files: dict[str, Path] = {}

    def fail(error: OSError) -> None:
        raise cannot_read(Path(error.filename or folder), error)

    for top, inner, names in os.walk(folder, onerror=fail):
        inner.sort()
        base = Path(top).relative_to(folder).as_posix()
        base = "" if base == "." else base + "/"
        folders += [_utf8(base + name) for name in inner if not Path(top, name).is_symlink()]
        files |= {_utf8(base + name): Path(top, name) for name in sorted(names)}
    return folders, files


def reader(place: Path) -> Callable[[], bytes]:
    """Return a function that reads the file `place`; UsageError if it cannot."""

    def read() -> bytes:
        try:
            return place.read_bytes()
        except OSError as error:
            raise cannot_read(place, error) from error

    return read


def join(folder: str, path: str) -> str:
    """Return the board's path of `path` in `folder`."""
    return folder.rstrip("/") + "/" + path


def absolute(path: str) -> str:
    """Return the board's path from its root, without dots."""
    return posixpath.normpath("/" + path).replace("//", "/", 1)


def cannot_read(place: Path, error: OSError) -> UsageError:
    """Make the error for a file of this machine that cannot be read."""
    return UsageError(f"{place} cannot be read: {error.strerror or error}.")


def _utf8(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The name {path!a} is no UTF-8; a board takes no other. Rename it."
        ) from (error)
    return path


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    some: list[Entry] = []
    size = 0
    for entry in entries:
        some.append(entry)
        size += entry.size or 0
        if size >= _AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some
