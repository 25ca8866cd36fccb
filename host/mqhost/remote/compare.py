"""Compares a folder of this machine with one on a board, by SHA-256: what would have to go over."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mqhost.remote.records import Entry
from mqhost.remote.trees import reader


@dataclass(frozen=True)
class Difference:
    """What differs; all paths are from the folders that were compared.

    `changed`: files here that the board has not, or with other bytes. `folders`: folders here that
    it has not. `surplus`: what is only there, what is in a folder before the folder, so that it can
    be removed in this order; also what stands in the place of something of another kind.
    """

    changed: dict[str, Path] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    surplus: list[Entry] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.changed or self.folders or self.surplus)


def difference(folders: list[str], sources: Mapping[str, Path], found: list[Entry]) -> Difference:
    """Return what differs between folders and files here, and what a board says it has."""
    there = {entry.path: entry for entry in found}
    changed = {
        path: place
        for path, place in sources.items()
        if path not in there or there[path].is_folder or there[path].sha256 != _hash(place)
    }
    missing = [path for path in folders if path not in there or not there[path].is_folder]
    kept = {path: False for path in sources} | {path: True for path in folders}
    surplus = [entry for entry in found if kept.get(entry.path) != entry.is_folder]
    surplus.sort(key=lambda entry: entry.path.count("/"), reverse=True)
    return Difference(changed, missing, surplus)


def _hash(place: Path) -> str:
    return hashlib.sha256(reader(place)()).hexdigest()
