"""Puts one file on a board, over lost connections and resets, until it stands there whole.

    head -> what the board has -> bytes, as many as it gives credit for -> its last answer

A small file is one message. What became of an attempt whose answer was lost is looked up by the
hash of what is there.
"""

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterable
from typing import Any

import mqwire
from mqhost.errors import (
    AbsentBoardError,
    BoardError,
    BrokerError,
    SilentBoardError,
    ToolError,
)
from mqhost.link.exchange import PART_SIZE, Exchange
from mqhost.link.session import Session
from mqhost.remote.faults import FileError, FileRefused, fault, make_folder, shown
from mqhost.remote.patience import PATIENCE, Patience, Presence
from mqhost.remote.records import Carried, ask, entry, parsed
from mqwire import files as wire

_POLL = 0.25
_PIECE = wire.PIECE
_WORKERS = 4  # files at once: a board takes no more
# Errors after which another attempt is worth it, and how often in all those after which it may be.
_AGAIN = (wire.GAP, wire.ABANDONED, wire.SUPERSEDED)
_ONCE_MORE = (wire.HASH, "ENOMEM")

Sent = Callable[[int], None]


class _Lost(Exception):
    """Raised inside when an attempt led nowhere."""


def put(
    session: Session,
    path: str,
    data: bytes,
    *,
    parents: bool = False,
    sent: Sent | None = None,
    patience: float = PATIENCE,
) -> Carried:
    """Put `data` on the board as the file `path`; `sent` is told how many bytes the board has.

    With `parents` missing folders are made. Raises FileError, FileRefused (no room), and for a
    board or a broker that is lost for `patience` seconds SilentBoardError or BrokerError; then
    what was there before is there still, and the same again goes on where this ended.
    """
    return _Putting(session, path, data, parents, sent or (lambda count: None), patience).run()


class _Putting:
    def __init__(
        self, session: Session, path: str, data: bytes, parents: bool, sent: Sent, patience: float
    ) -> None:
        self._session = session
        self._path = path
        self._data = data
        self._sent = sent
        self._most = -1  # bytes that the board once had
        self._resumed = 0  # and those that it had before this began
        self._patience = Patience(session, patience)
        self._tried_again = 0
        self._all_sent = False  # then it is in doubt what came of an attempt that was lost
        self._hash = hashlib.sha256(data).hexdigest()
        self._head: dict[str, Any] = {
            "path": path,
            "size": len(data),
            "sha256": self._hash,
            "token": secrets.token_urlsafe(6),
        }
        if parents:
            self._head["parents"] = True

    def run(self) -> Carried:
        """Try until it is done, refused, or too long ago that there was progress."""
        while True:
            try:
                if self._all_sent and self._is_there():
                    break
                self._all_sent = False
                self._attempt()
                break
            except AbsentBoardError:
                raise
            except (_Lost, BrokerError, SilentBoardError):
                pass  # the patience is the same for all of these
            except (FileError, FileRefused) as error:
                self._excuse(error)
            self._patience.pause()
        self._sent(len(self._data))
        return Carried(self._path, len(self._data), self._hash, resumed=self._resumed)

    def _excuse(self, error: FileError | FileRefused) -> None:
        """Raise `error` unless another attempt may end better."""
        self._patience.answered()
        if error.reason == "EBUSY" and self._path.strip("/"):
            return
        self._all_sent = False  # it is known what came of it
        if error.reason in _AGAIN:
            return
        self._tried_again += 1
        if error.reason not in _ONCE_MORE or self._tried_again > 1:
            raise error

    def _is_there(self) -> bool:
        """Return whether the board has the file already."""
        found, _ = ask(self._session, "stat", {"paths": [self._path], "sha": True})
        there = entry(found[0], "stat") if found else None
        return there is not None and there.sha256 == self._hash

    def _attempt(self) -> None:
        """Send what is missing. Raises _Lost when an answer does not come."""
        presence = Presence(self._session)
        head = self._packed()
        with self._session.open("put") as exchange:
            if len(head) + len(self._data) <= PART_SIZE - self._session.room():
                self._all_sent = True
                exchange.send(head + self._data)
                self._finish(exchange, presence)
                return
            self._head["resume"] = True
            exchange.begin(self._packed())
            position, credit = self._have(self._answer(exchange, presence))
            seq = 0
            acknowledged = position
            while position < len(self._data) or not seq:
                while seq and position - acknowledged >= max(credit, _PIECE):
                    acknowledged, credit = self._have(self._answer(exchange, presence))
                piece = self._data[position : position + _PIECE]
                position += len(piece)
                seq += 1
                self._all_sent = position == len(self._data)
                exchange.follow(seq, piece, last=self._all_sent)
            self._finish(exchange, presence)

    def _packed(self) -> bytes:
        text = json.dumps(self._head, ensure_ascii=False, separators=(",", ":"))
        try:
            return wire.pack_head(text.encode("utf-8", "surrogatepass"))
        except mqwire.WireError as error:
            raise fault({"error": "ENAMETOOLONG", "path": self._path}) from error

    def _finish(self, exchange: Exchange, presence: Presence) -> None:
        """Wait for the last answer. Raises _Lost."""
        while "have" in (record := self._answer(exchange, presence)):
            self._have(record)

    def _answer(self, exchange: Exchange, presence: Presence) -> dict[str, Any]:
        """Return what the board says next; raise what it says, if it is an error, or _Lost."""
        waited = 0.0
        while waited < self._session.settings.timeout and not presence.lost():
            message = exchange.receive(_POLL)
            if message is None:
                waited += _POLL
                continue
            self._patience.answered()
            lines = [line for line in message.data.split(b"\n") if line]
            record = parsed(lines[-1], "put") if lines else {}
            if not isinstance(record, dict):
                raise BoardError(f"The board's answer to put is not understood: {record!r:.60}")
            if "error" in record:
                raise self._fault(record)
            return record
        raise _Lost

    def _fault(self, record: dict[str, Any]) -> ToolError:
        """Make the error for what the board says; of a missing folder, with what makes it."""
        error = fault(record, self._path)
        folder = self._path.rpartition("/")[0]
        if record["error"] != "ENOENT" or not folder:
            return error
        text = f"{shown(self._path)}: there is no such folder on the board."
        return FileError(f"{text} {make_folder(self._session, folder)}", "ENOENT", self._path)

    def _have(self, record: dict[str, Any]) -> tuple[int, int]:
        """Return how many bytes the board has and its credit, as it says; note the progress."""
        have, credit = record.get("have"), record.get("credit")
        if not isinstance(have, int) or not isinstance(credit, int):
            raise BoardError(f"The board's answer to put is not understood: {record!r:.60}")
        have = min(max(have, 0), len(self._data))
        if self._most < 0:
            self._resumed = have
        if have > self._most:
            self._most = have
            self._patience.progressed()
            self._sent(have)
        return have, credit


def put_all(
    session: Session,
    files: Iterable[tuple[str, Callable[[], bytes]]],
    *,
    parents: bool = False,
    sent: Sent | None = None,
    patience: float = PATIENCE,
) -> list[Carried]:
    """Put many files, (path, a function that returns the bytes) each, several at once.

    `sent` is told how many bytes more the board has. The first error ends it, and is raised.
    """
    lock = threading.Lock()
    todo = enumerate(files)
    done: dict[int, Carried] = {}
    failure: list[BaseException] = []

    def work() -> None:
        while not failure:
            try:
                with lock:
                    number, file = next(todo, (0, None))
                if file is None:
                    return
                path, data = file[0], file[1]()
            except BaseException as error:
                failure.append(error)
                return
            before = 0

            def tell(count: int) -> None:
                nonlocal before
                with lock:
                    if sent and count > before:
                        sent(count - before)
                before = max(count, before)

            try:
                done[number] = put(
                    session, path, data, parents=parents, sent=tell, patience=patience
                )
            except BaseException as error:
                failure.append(error)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(_WORKERS)]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            while worker.is_alive():
                worker.join(_POLL)
    except BaseException as error:  # Ctrl-C comes to this thread
        failure.append(error)
        raise
    if failure:
        raise failure[0]
    return [done[number] for number in sorted(done)]
