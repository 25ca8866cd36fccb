"""Connects a driver to real boards: their statuses by a roster, and pushes in threads.

All of it goes over one connection to the broker.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from mqhost.errors import BrokerError, ToolError
from mqhost.fleet.asking import Asking
from mqhost.fleet.rollout.outcome import CONFIRMED, Outcome, of_error
from mqhost.fleet.rollout.states import Board, Seen
from mqhost.link.connection import Connection
from mqhost.link.roster import ALL, Roster, Sighting
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.progress import Progress
from mqhost.signing.offer import Offer
from mqhost.update.push import UpdateResult, push

# Seconds until boards are asked that nobody tells of: what is retained has come by then, and until
# they are asked again; and how many times before they count as offline.
_ASK_AFTER_S, _ASK_AGAIN_S, _ASK_SELDOM_S = 2.0, 5.0, 300.0
_ENOUGH = 3
_AT_ONCE = 200  # boards

Report = Callable[[str, str, int, int], None]  # prefix, stage, done, total


class BoardField:
    """The boards whose prefixes match `patterns`, while the `with` block runs; `changed` is called
    when one of them says something. `boards` are those that have to be known: of whom the broker
    tells nothing is asked, with every connection anew, and counts as offline when he does not
    answer. (RabbitMQ keeps statuses by node: see mqhost.fleet.asking.)
    """

    def __init__(
        self,
        connection: Connection,
        patterns: Sequence[str] = (ALL,),
        changed: Callable[[], object] = lambda: None,
        boards: Iterable[str] = (),
    ) -> None:
        self._connection = connection
        self._changed = changed
        self._roster = Roster(connection, patterns, self._hear)
        self._known: dict[str, tuple[Sighting, Seen]] = {}
        self._began = 0.0
        self._boards = tuple(boards)
        self._asking = Asking(connection, self._roster.learn)
        self._generation = 0  # of the connection in which that is about
        self._asked: dict[str, int] = {}  # how many times each board was
        self._batch: set[str] = set()  # who is asked now, and has not answered yet
        self._ask_at = 0.0

    def __enter__(self) -> "BoardField":
        self._began = time.time()
        self._roster.__enter__()
        self._roster.settle()
        return self

    def __exit__(self, *_: object) -> None:
        self._asking.close()
        self._roster.__exit__()

    @property
    def connected(self) -> bool:
        """Whether the broker tells us what happens."""
        return self._connection.connected

    def seen(self) -> dict[str, Seen]:
        """Return what the boards last said, by prefix. What was retained was said before we came,
        and what was heard at that moment."""
        unheard = self._ask()
        known = {}
        for prefix, sighting in self._roster.sightings().items():
            before = self._known.get(prefix)
            if before and before[0] is sighting:
                known[prefix] = before
            else:
                seen = Seen.of(sighting.status, sighting.heard_at or self._began)
                known[prefix] = (sighting, seen)
        self._known = known
        return {
            prefix: replace(seen, online=False) if prefix in unheard else seen
            for prefix, (_, seen) in known.items()
        }

    def _ask(self) -> set[str]:
        """Ask the boards that nobody tells of, some at a time, again and again; return those that
        have not answered often enough to be taken for offline.
        """
        connection, now = self._connection, time.monotonic()
        if connection.generation != self._generation:
            self._generation, self._asked, self._batch = connection.generation, {}, set()
            self._ask_at = now + _ASK_AFTER_S
        if not connection.connected:
            return set()
        missing = {prefix for prefix in self._boards if not self._roster.fresh(prefix)}
        self._batch &= missing
        if missing and (now >= self._ask_at or self._asked and not self._batch):
            self._ask_some(missing, now)
        # Who is asked for the last time has until the next ones are asked.
        return {one for one in missing if self._asked.get(one, 0) - (one in self._batch) >= _ENOUGH}

    def _ask_some(self, missing: set[str], now: float) -> None:
        """Ask those of `missing` that have been asked least."""
        order = sorted(missing, key=lambda prefix: (self._asked.get(prefix, 0), prefix))
        if self._asked.get(order[0], 0) >= _ENOUGH and now < self._ask_at:
            return
        self._batch = set(order[:_AT_ONCE])
        for prefix in self._batch:
            self._asked[prefix] = self._asked.get(prefix, 0) + 1
        rarely = min(map(self._asked.__getitem__, self._batch)) > _ENOUGH
        self._ask_at = now + (_ASK_SELDOM_S if rarely else _ASK_AGAIN_S)
        with contextlib.suppress(BrokerError):  # the next connection has another try
            self._asking.ask(sorted(self._batch))

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
