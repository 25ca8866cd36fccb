"""Reads what a board says of its files: lines of JSON, from a board that may say anything."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqhost.errors import AbsentBoardError, BoardError, BrokerError, SilentBoardError
from mqhost.link.session import Session
from mqhost.remote.faults import fault
from mqhost.remote.patience import Patience, Presence

_MAX_LINE = 1 << 16


@dataclass(frozen=True)
class Entry:
    """A file or a folder on a board: `path` as it was asked for, or from the folder that was.

    `size` is in bytes, None for a folder; `mtime` (seconds of the board's clock) and `sha256` (hex)
    are None where they were not asked for.
    """

    path: str
    size: int | None
    mtime: int | None = None
    sha256: str | None = None

    @property
    def is_folder(self) -> bool:
        return self.size is None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Carried:
    """A file that was carried: it is `path` on the board. `local` is its place on this machine, or
    `source` on the board for a copy there. `sha256` in hex; `resumed`: bytes of it that the board
    had already, for it was begun before.
    """

    path: str
    size: int
    sha256: str
    local: Path | None = None
    source: str | None = None
    resumed: int = 0


@dataclass(frozen=True)
class Volume:
    """A filesystem that is mounted at `path`, with `size` and `free` in bytes."""

    path: str
    size: int
    free: int


def ask(
    session: Session,
    command: str,
    wish: dict[str, Any],
    on_progress: Callable[[int], None] | None = None,
) -> tuple[list[list[Any]], dict[str, Any]]:
    """Give a command; return its entries and the object that it ends with.

    Raises what that says, if it is an error. `on_progress` is told how much is done.
    """
    body = json.dumps(wish, ensure_ascii=False).encode("utf-8", "surrogatepass")
    entries: list[list[Any]] = []
    outcome: dict[str, Any] = {}
    for record in _records(session.stream(command, body), command):
        if isinstance(record, list):
            entries.append(record)
        else:
            outcome = record
            if on_progress and isinstance(record.get("done"), int):
                on_progress(record["done"])
    if "error" in outcome:
        raise fault(outcome)
    if "done" not in outcome:
        raise _nonsense(command, json.dumps(outcome).encode())
    return entries, outcome


def look(
    session: Session, command: str, wish: dict[str, Any]
) -> tuple[list[list[Any]], dict[str, Any]]:
    """Give a command that changes nothing, again if the connection or the board was lost meanwhile.

    The rest is as with `ask`.
    """
    patience = Patience(session)
    while True:
        presence = Presence(session)
        try:
            return ask(session, command, wish)
        except (BrokerError, SilentBoardError) as error:
            if isinstance(error, AbsentBoardError) or not presence.lost():
                raise
        patience.pause()


def _records(parts: Iterator[bytes], command: str) -> Iterator[list[Any] | dict[str, Any]]:
    data = b""
    for part in parts:
        *lines, data = (data + part).split(b"\n")
        if len(data) > _MAX_LINE:
            raise _nonsense(command, data)
        for line in lines:
            yield parsed(line, command)
    if data:
        raise _nonsense(command, data)


def parsed(line: bytes, command: str) -> list[Any] | dict[str, Any]:
    """Return what a line says, an array or an object; BoardError for anything else."""
    try:
        record = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise _nonsense(command, line) from error
    if not isinstance(record, (list, dict)):
        raise _nonsense(command, line)
    return record


def entry(record: list[Any], command: str = "ls") -> Entry | None:
    """Return the entry that `record` is, None for what is not there; BoardError for nonsense."""
    path, size, mtime, sha256 = (*record, None, None, None, None)[:4]
    good = isinstance(path, str) and "\0" not in path
    good = good and all(isinstance(number, int | None) for number in (size, mtime))
    if not good or not isinstance(sha256, str | None):
        raise _nonsense(command, json.dumps(record).encode())
    return None if size == -1 else Entry(path, size, mtime, sha256)


def volume(record: list[Any]) -> Volume:
    """Return the filesystem that `record` is; BoardError for nonsense."""
    path, size, free = (*record, None, None, None)[:3]
    if not (isinstance(path, str) and isinstance(size, int) and isinstance(free, int)):
        raise _nonsense("df", json.dumps(record).encode())
    return Volume(path, size, free)


def _nonsense(command: str, data: bytes) -> BoardError:
    return BoardError(f"The board's answer to {command} is not understood: {data[:60]!r}")
