"""Looks up the keys of a board's configuration in their table, mqwire.config.KEYS.

A key is written with dots, as `broker.port` or `networks.0.password`.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from mqwire.config import KEYS

_TABLES = ("group", "object", "objects", "arguments")


@dataclass(frozen=True)
class Key:
    """One row of the table; `default` is ... where the key must be there."""

    name: str
    kind: str
    default: Any
    limit: Any

    @property
    def rows(self) -> tuple[Any, ...]:
        """The rows of the keys inside of it, if it has any."""
        return self.limit or () if self.kind in _TABLES else ()


def find(path: str) -> Key | None:
    """Return the key `path`, or None if there is no such key."""
    found = None
    rows: tuple[Any, ...] = KEYS
    for part in path.split("."):
        if found and found.kind == "objects" and part.isdigit():
            continue
        row = next((row for row in rows if row[0] == part), None)
        if row is None:
            return None
        found = Key(*row)
        rows = found.rows
    return found


def rows(path: str) -> tuple[Any, ...]:
    """Return the rows of the keys in the object `path`, "" for the outermost."""
    if not path:
        return KEYS
    found = find(path)
    return found.rows if found else ()


def key(path: str) -> Key:
    """Return the key `path`, which there is."""
    found = find(path)
    assert found is not None, path
    return found


def nearest(path: str) -> str:
    """Return the known key that `path` may be a mistake for, in full, or ""."""
    table, _, name = path.rpartition(".")
    # It is in the wrong place: `port` at the top belongs to `broker`.
    inside = [f"{row[0]}.{name}" for row in KEYS if row[1] == "group" and find(f"{row[0]}.{name}")]
    if inside:
        return inside[0]
    close = get_close_matches(name, [row[0] for row in rows(table)], 1)
    if close:
        return f"{table}.{close[0]}" if table else close[0]
    return ""
