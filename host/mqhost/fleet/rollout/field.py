"""Connects a driver to real boards: their statuses by a roster, and pushes in threads.

All of it goes over one connection to the broker.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mqhost.errors import ToolError
from mqhost.fleet.rollout.outcome import CONFIRMED, Outcome, of_error
from mqhost.fleet.rollout.states import Board, Seen
from mqhost.link.connection import Connection
from mqhost.link.roster import ALL, Roster, Sighting
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.progress import Progress
from mqhost.signing.offer import Offer
from mqhost.update.push import UpdateResult, push

Report = Callable[[str, str, int, int], None]  # prefix, stage, done, total


class BoardField:
    """The boards whose prefixes match `patterns`, while the `with` block runs; `changed` is called
    when one of them says something.
    """

    def __init__(
        self,
        connection: Connection,
        patterns: Sequence[str] = (ALL,),
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self._connection = connection
        self._changed = changed
        self._roster = Roster(connection, patterns, self._hear)
        self._known: dict[str, tuple[Sighting, Seen]] = {}
        self._began = 0.0

    def __enter__(self) -> "BoardField":
        self._began = time.time()
        self._roster.__enter__()
        self._roster.settle()
        return self

    def __exit__(self, *_: object) -> None:
        self._roster.__exit__()

    @property
    def connected(self) -> bool:
        """Whether the broker tells us what happens."""
        return self._connection.connected

    def seen(self) -> dict[str, Seen]:
        """Return what the boards last said, by prefix. What was retained was said before we came,
        and what was heard at that moment."""
        known = {}
        for prefix, sighting in self._roster.sightings().items():
            before = self._known.get(prefix)
            if before and before[0] is sighting:
                known[prefix] = before
            else:
                seen = Seen.of(sighting.status, sighting.heard_at or self._began)
                known[prefix] = (sighting, seen)
        self._known = known
        return {prefix: seen for prefix, (_, seen) in known.items()}

    def _hear(self, prefix: str) -> None:
        self._changed()


class _Stopped(BaseException):
    """Raised in a push that nobody wants any more."""


@dataclass
class PushThreads:
    """Pushes images to boards, each in a thread; `report` is told how far each is,
    and `pushed` of each that was confirmed what that took.

    One that was stopped may take a while to notice: the next one to the same board waits for it,
    as two sessions with one board, over one connection, would take each other's messages.
    """

    settings: Settings
    connection: Connection
    report: Report = lambda prefix, stage, done, total: None
    pushed: Callable[[str, UpdateResult], None] = lambda prefix, result: None
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: dict[str, threading.Thread] = field(default_factory=dict)  # the last one by prefix

    def start(
        self, board: Board, offer: Offer, app: bytes, done: Callable[[Outcome], None]
    ) -> None:
        """Begin to push."""
        before = self._threads.get(board.prefix)
        arguments = (board, offer, app, done, self._stop, before)
        thread = threading.Thread(target=self._run, args=arguments, daemon=True)
        self._threads[board.prefix] = thread
        thread.start()

    def busy(self, prefix: str) -> bool:
        """Return whether a push to that board has not ended yet."""
        return prefix in self._threads

    def stop(self) -> None:
        """Have the pushes that have begun end with what they report next."""
        self._stop.set()
        self._stop = threading.Event()

    def _run(
        self,
        board: Board,
        offer: Offer,
        app: bytes,
        done: Callable[[Outcome], None],
        stop: threading.Event,
        before: threading.Thread | None,
    ) -> None:
        def show(stage: str, count: int, total: int) -> None:
            if stop.is_set():
                raise _Stopped
            self.report(board.prefix, stage, count, total)

        if before:
            before.join()
        with contextlib.suppress(_Stopped):
            done(self._push(board, offer, app, show))
        if self._threads.get(board.prefix) is threading.current_thread():
            del self._threads[board.prefix]

    def _push(self, board: Board, offer: Offer, app: bytes, show: Progress) -> Outcome:
        settings = self.settings.for_one(board.prefix)
        try:
            with Session(settings, connection=self.connection) as session:
                retry = board.again
                result = push(session, offer, app, retry_failed=retry, progress=show)
        except ToolError as error:
            return of_error(error)
        except Exception as error:
            return Outcome(reason=f"a fault of mqboard itself: {error!r:.200}")
        self.pushed(board.prefix, result)
        return CONFIRMED
