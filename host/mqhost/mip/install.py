"""Puts the files of packages on a board: only those that it has not, by SHA-256."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from mqhost.link.session import Session
from mqhost.progress import Progress, silent
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.trees import join

_MPY = b"getattr(__import__('sys').implementation, '_mpy', 0) & 255"


@dataclass(frozen=True)
class Installed:
    """What was done, by paths on the board: `put`, `unchanged`, and `removed` (see `install`)."""

    put: list[str]
    unchanged: list[str]
    removed: list[str]


def mpy_version(session: Session) -> int:
    """Return which version of .mpy the board takes, 0 if none."""
    told = session.request("eval", _MPY).text.strip()
    return int(told) if told.isdecimal() else 0


def install(
    files: BoardFiles, target: str, found: Mapping[str, bytes], *, progress: Progress = silent
) -> Installed:
    """Put `found` into the board's folder `target`, which is made.

    A .py file beside a .mpy that comes is removed, for it would be imported in its place.
    `progress` is told "put", and bytes.
    """
    paths = {join("/" + target.strip("/"), path): data for path, data in found.items()}
    there = dict(zip(paths, files.stat_all(paths, sha=True), strict=True))
    put, unchanged = {}, []
    for path, data in paths.items():
        entry = there[path]
        if entry and entry.sha256 == hashlib.sha256(data).hexdigest():
            unchanged.append(path)
        else:
            put[path] = data
    contents = [(path, lambda data=data: data) for path, data in put.items()]
    total = sum(map(len, put.values()))
    if contents:
        files.write_all(contents, parents=True, total=total, progress=progress)
    stems = [path.removesuffix(".mpy") for path in paths if path.endswith(".mpy")]
    hiding = [f"{stem}.py" for stem in stems if f"{stem}.py" not in paths]
    found_there = zip(hiding, files.stat_all(hiding), strict=True)
    removed = [path for path, entry in found_there if entry and not entry.is_folder]
    if removed:
        files.rm(removed)
    return Installed(list(put), unchanged, removed)
