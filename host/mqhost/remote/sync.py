"""Makes a folder on a board like one of this machine: sends only what differs, by SHA-256.

    plan = plan_sync(files, folder, "/app", delete=True)   what there is to do
    carry_out(files, plan)                                 do it; again, after it was interrupted

A file is replaced when its new bytes are whole and right (see `put`); the folder is no unit.
"""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mqhost.errors import UsageError
from mqhost.progress import Progress, silent
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.compare import difference
from mqhost.remote.faults import FileError, shown
from mqhost.remote.records import Entry
from mqhost.remote.trees import absolute, cannot_read, join, local_tree, reader

# Neither sent nor removed: what begins with a dot, and what tools leave.
IGNORED = (".*", "__pycache__", "*.pyc", "*~")
# What the board itself keeps in its root folder.
KEPT = ("/config.json", "/config.old.json", "/crash", "/apps")


@dataclass(frozen=True)
class Plan:
    """What makes the board's folder `remote` like the one here; paths are from these folders.

    `put`: files that differ, and where they are here; `folders` that are missing there; `first`:
    what is in the way of these, and goes before they come; `remove`: what is too much, what is in a
    folder before the folder. `unchanged`: how many files are the same.
    """

    remote: str
    put: dict[str, Path] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    remove: list[Entry] = field(default_factory=list)
    first: list[Entry] = field(default_factory=list)
    unchanged: int = 0

    @property
    def size(self) -> int:
        """Bytes that are put. UsageError when a file is not there any more."""
        try:
            return sum(place.stat().st_size for place in self.put.values())
        except OSError as error:
            raise cannot_read(Path(error.filename), error) from error


def plan_sync(
    files: BoardFiles,
    folder: Path,
    remote: str,
    *,
    delete: bool = False,
    kept: Iterable[str] = (),
) -> Plan:
    """Compare `folder` with the board's folder `remote`, which need not be there.

    With `delete` also what is only there is removed, but for what is ignored, what the board needs
    itself, and the files `kept` (paths from the board's root). A .py file for which there is a .mpy
    here is always removed, for it would be imported in place of that. UsageError when something
    here cannot be read, or is in the way of something else there and may not be removed.
    """
    remote = absolute(remote)
    folders, sources = wanted_tree(folder)
    differs = difference(folders, sources, _found(files, remote))
    stay = {*map(absolute, KEPT), *map(absolute, kept)}
    remove, first = [], []
    for entry in differs.surplus:
        path = absolute(join(remote, entry.path))
        if entry.path in sources or entry.path in folders:
            if not delete or _concerns(path, entry.is_folder, stay):
                raise UsageError(_of_another_kind(path, entry, delete))
            first.append(entry)
        elif not _concerns(path, entry.is_folder, stay) and (
            _hides(entry, sources) or (delete and not _ignored(entry.path))
        ):
            remove.append(entry)
    unchanged = len(sources) - len(differs.changed)
    return Plan(remote, differs.changed, differs.folders, remove, first, unchanged)


def _found(files: BoardFiles, remote: str) -> list[Entry]:
    """Return what is in the board's folder `remote`, by one question as a rule; UsageError for a
    file, which is listed like a folder with that alone in it.
    """
    try:
        found = files.ls(remote, recursive=True, sha=True)
    except FileError as error:
        if error.reason == "ENOENT":
            return []
        raise
    alone = [entry.path for entry in found] == [remote.rpartition("/")[2]]
    if alone and (there := files.stat(remote)) and not there.is_folder:
        raise UsageError(f"{shown(remote)} is a file on the board, not a folder.")
    return found


def wanted_tree(folder: Path) -> tuple[list[str], dict[str, Path]]:
    """Return what trees.local_tree does, without what is ignored."""
    folders, sources = local_tree(folder)
    wanted = {path: place for path, place in sources.items() if not _ignored(path)}
    return [path for path in folders if not _ignored(path)], wanted


def carry_out(files: BoardFiles, plan: Plan, *, progress: Progress = silent) -> None:
    """Do what `plan` says. `progress` is told "put", and bytes."""
    _remove(files, plan, plan.first)
    if plan.put or plan.folders:
        folders = [join(plan.remote, path) for path in plan.folders]
        files.mkdir([plan.remote, *folders], parents=True)
    contents = [(join(plan.remote, path), reader(place)) for path, place in plan.put.items()]
    if contents:
        files.write_all(contents, total=plan.size, progress=progress)
    _remove(files, plan, plan.remove)


def _remove(files: BoardFiles, plan: Plan, entries: list[Entry]) -> None:
    if entries:
        paths = [join(plan.remote, entry.path) for entry in entries]
        files.rm(paths, recursive=True, force=True)


def _ignored(path: str) -> bool:
    """Return whether a part of `path` has a name that is ignored."""
    return any(fnmatch.fnmatchcase(name, rule) for name in path.split("/") for rule in IGNORED)


def _hides(entry: Entry, sources: dict[str, Path]) -> bool:
    """Return whether `entry` would be imported in place of a .mpy file that comes."""
    stem = entry.path.removesuffix(".py")
    return not entry.is_folder and stem != entry.path and stem + ".mpy" in sources


def _of_another_kind(path: str, entry: Entry, delete: bool) -> str:
    here, there = ("file", "folder") if entry.is_folder else ("folder", "file")
    found = f"{shown(path)} is a {there} on the board, and a {here} here"
    return f"{found}. " + ("The board needs it." if delete else "With --delete it is removed.")


def _concerns(path: str, is_folder: bool, stay: set[str]) -> bool:
    """Return whether `path` is one of those that stay, or in one, or has one in it."""
    return any(
        path == each or path.startswith(each + "/") or (is_folder and each.startswith(path + "/"))
        for each in stay
    )
