"""Asks boards, over the connection that the server has: facts, files, crashes, configurations.

So many are asked at a time; who asks for more waits. What was asked a moment ago is not asked
again.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from mqhost.errors import AbsentBoardError, UsageError
from mqhost.fleet.presence import Presence
from mqhost.fleet.server.hearing.live import Live
from mqhost.link.connection import Connection
from mqhost.link.roster import offline_text
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.manage.configuration import fetch, ordered
from mqhost.manage.crash import list_crashes, show_crash
from mqhost.remote.board_files import BoardFiles

T = TypeVar("T")
AT_ONCE = 32
_FRESH = 2.0  # seconds in which facts are not asked for again
LARGEST_FILE = 1 << 20  # bytes that are read of a file


class NoBoard(UsageError):
    """Nobody has announced himself at that prefix."""


class Asking:
    """Asks boards that `live` knows; `told(prefix, facts)` is called with what `info` has heard."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        live: Live,
        told: Callable[[str, dict[str, Any]], None] = lambda *_: None,
    ) -> None:
        self._told = told
        self._settings = settings
        self._connection = connection
        self._live = live
        self._room = threading.Semaphore(AT_ONCE)
        # By prefix: when it was asked, what its status was then, what it said.
        self._infos: dict[str, tuple[float, Any, dict[str, Any]]] = {}

    def need(self, prefix: str, online: bool = False) -> Presence:
        """Return a board. Raises NoBoard, and AbsentBoardError if it has to be online."""
        board = self._live.get(prefix)
        if board is None:
            raise NoBoard(f"No board has announced itself at {prefix!r:.80}.")
        if online and not board.online:
            raise AbsentBoardError(f"{prefix} is {offline_text(board.status)}.")
        return board

    def ask(self, prefix: str, question: Callable[[Session], T]) -> T:
        """Call `question` with a session with a board that is online."""
        self.need(prefix, online=True)
        with (
            self._room,
            Session(self._settings.for_one(prefix), connection=self._connection) as session,
        ):
            return question(session)

    def info(self, prefix: str) -> dict[str, Any]:
        """Ask a board for its facts, which are also kept in `live`, and told; not again at once,
        unless its status is another one since: it may have been updated.
        """
        status = self.need(prefix, online=True).status
        asked_at, then, said = self._infos.get(prefix, (0.0, None, {}))
        if said and then == status and time.monotonic() - asked_at < _FRESH:
            return said
        said = self.ask(prefix, lambda session: session.request_json("info"))
        self._infos[prefix] = (time.monotonic(), status, said)
        self._live.note(prefix, said)
        self._told(prefix, said)
        return said

    def config(self, prefix: str) -> dict[str, Any]:
        """Return a board's configuration, with placeholders for its secrets."""
        now = self.ask(prefix, fetch)
        return {"config": ordered(now.record), "settled": now.settled, "revert": now.revert}

    def crashes(self, prefix: str, number: int | None = None) -> list[dict[str, Any]]:
        """Return a board's crashes in short, the oldest first, or the one of that number, whole."""
        if number is not None:
            return [self.ask(prefix, lambda session: show_crash(session, number)).record]
        return [crash.record for crash in self.ask(prefix, list_crashes)[0]]

    def files(self, prefix: str, path: str) -> list[dict[str, Any]]:
        """Return what is in a folder of a board: path, size (None for a folder), mtime."""
        entries = self.ask(prefix, lambda session: BoardFiles(session).ls(path, times=True))
        return [asdict(entry) | {"folder": entry.is_folder} for entry in entries]

    def file(self, prefix: str, path: str) -> bytes:
        """Return what is in a file of a board; UsageError if it is too large for that."""

        def read(session: Session) -> bytes:
            files = BoardFiles(session)
            entry = files.stat(path)
            if entry and entry.size is not None and entry.size > LARGEST_FILE:
                raise UsageError(
                    f"{path!r:.80} has {entry.size:,} B; at most {LARGEST_FILE:,} B are shown. Get "
                    f"it with: mqboard --prefix {prefix} get {path!r:.80}"
                )
            return files.read(path)

        return self.ask(prefix, read)
