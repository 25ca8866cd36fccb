"""Drives a rollout: one step after the other, each of them one transaction before what it begins.

Whoever holds the rollout's lease drives; others wait for it, and take over when it ends. Nothing is
known only here: a driver may be killed at any moment. What it had under way is waiting again then,
and the next one's push joins what is under way on the board.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import tzinfo
from typing import TYPE_CHECKING, Protocol

from mqhost.fleet.rollout.engine import Decision, decide, over
from mqhost.fleet.rollout.look import left, pushed
from mqhost.fleet.rollout.options import CANARIES
from mqhost.fleet.rollout.outcome import Outcome
from mqhost.fleet.rollout.states import QUEUED, SENDING, Board, Rollout, Seen
from mqhost.fleet.store.records import Entry, LeaseLost, StaleError, StoreError
from mqhost.signing.offer import Offer

if TYPE_CHECKING:  # who only looks for the command needs no database
    from mqhost.fleet.store.store import Store

TTL = 15.0  # seconds until others take over
_TICK = 1.0  # seconds until a step looks for itself what people have changed
_Results = queue.SimpleQueue[tuple[str, Outcome]]


class Field(Protocol):
    """What is seen of the boards."""

    @property
    def connected(self) -> bool:
        """Whether the broker tells us what happens."""

    def seen(self) -> Mapping[str, Seen]:
        """Return what the boards last said, by prefix."""


class Pusher(Protocol):
    """What brings images to boards, several at a time."""

    def start(
        self, board: Board, offer: Offer, app: bytes, done: Callable[[Outcome], None]
    ) -> None:
        """Begin to push, and return; `done` is called at the end, in any thread."""

    def stop(self) -> None:
        """Have all pushes end soon; nobody waits for their outcome any more."""


class Noting(Protocol):
    """What tells boards that are asleep or away that an update is waiting."""

    def tell(
        self,
        rollout: Rollout,
        boards: Iterable[Board],
        seen: Mapping[str, Seen],
        now: float,
        offer_of: Callable[[str], Offer],
    ) -> None:
        """Have the notes be as `rollout` and its boards are."""

    def withdraw(self, rollout: Rollout) -> None:
        """Take them all away: nobody drives `rollout` from now on."""


class Driver:
    """Drives rollout `number` of `store` as `owner`, a name that no other driver has.

    `clock` gives Unix times, `zone` is that of the window; `news` is set when there is something to
    do before the next step is due. `known` is the rollout and its boards as they are stored, while
    it `drives`, and the last ones afterwards.
    """

    def __init__(
        self,
        store: "Store",
        number: int,
        field: Field,
        pusher: Pusher,
        owner: str,
        *,
        clock: Callable[[], float] = time.time,
        zone: tzinfo | None = None,
        ttl: float = TTL,
        news: threading.Event | None = None,
        notes: Noting | None = None,
    ) -> None:
        self.known: tuple[Rollout, Mapping[str, Board]] | None = None
        self.over = False
        self.drives = False
        self.news = news or threading.Event()
        self._store = store
        self._number = number
        self._field = field
        self._pusher = pusher
        self._notes = notes
        self._owner = owner
        self._clock = clock
        self._zone = zone
        self._ttl = ttl
        self._renew_at = 0.0
        self._boards: dict[str, Board] | None = None  # as they are stored; None: unknown
        self._revision = 0
        self._under_way: set[str] = set()
        self._results: _Results = queue.SimpleQueue()
        self._outcomes: dict[str, Outcome] = {}  # that are not stored yet
        self._images: dict[str, tuple[Offer, bytes]] = {}

    def step(self) -> float | None:
        """Do what is to be done now; return the Unix time of the next step at the latest, None for
        when something happens. Raises StoreError: then the same step is done again.
        """
        now = self._clock()
        try:
            if not self._hold_lease(now):
                return now + self._ttl / 3
            return self._advance(now)
        except StaleError:
            self._boards = None
            return now
        except LeaseLost:
            self._lose()
            return now + self._ttl / 3
        except StoreError:
            self._boards = None  # whether the last change was kept is not known
            raise

    def close(self) -> None:
        """End what is under way here, and let others drive."""
        if self.drives:
            if self._notes and self.known:
                self._notes.withdraw(self.known[0])
            self._lose()
            with contextlib.suppress(StoreError):  # then the lease ends by itself
                self._store.release(self._number, self._owner)

    def _hold_lease(self, now: float) -> bool:
        """Take the lease or keep it; return whether we have it. LeaseLost if we had it, and another
        has had it since: what we know is old."""
        if not self.drives:
            self.drives = self._store.claim(self._number, self._owner, self._ttl)
        elif now >= self._renew_at:
            self._store.renew(self._number, self._owner, self._ttl)
        else:
            return True
        self._renew_at = now + self._ttl / 3
        return self.drives

    def _lose(self) -> None:
        """Forget all that was under way: another driver has it."""
        self.drives = False
        self._pusher.stop()
        self._boards = None
        self._under_way = set()
        self._results = queue.SimpleQueue()
        self._outcomes = {}

    def _advance(self, now: float) -> float | None:
        """Decide by what is stored and seen, store that, and begin the pushes."""
        rollout, boards = self._read(now)
        while not self._results.empty():
            prefix, outcome = self._results.get()
            self._outcomes[prefix] = outcome
        connected, seen = self._field.connected, self._field.seen()
        taken = dict(self._outcomes)
        for prefix, outcome in taken.items():
            if boards[prefix].state == SENDING:
                online = connected and prefix in seen and seen[prefix].online
                boards[prefix] = pushed(boards[prefix], outcome, online, now, rollout.options)
        decision = decide(rollout, boards.values(), seen, now, connected, self._zone)
        self._keep(rollout, boards, decision, now)
        for prefix in taken:
            del self._outcomes[prefix]
            self._under_way.discard(prefix)
        for board in decision.send:
            self._push(board)
        self._tell(decision.rollout, seen, now, connected)
        self.over = over(decision.rollout, (self._boards or {}).values())
        if self.over:
            self.close()
        return decision.wake

    def _read(self, now: float) -> tuple[Rollout, dict[str, Board]]:
        """Return the rollout and its boards as we go on with them; those that nobody pushes to any
        more have their turn again."""
        rollout = self._store.rollout(self._number)
        if self._boards is None or rollout.revision != self._revision:
            rollout, stored = self._store.read(self._number)
            self._boards = {board.prefix: board for board in stored}
            self._revision = rollout.revision
        boards = {
            prefix: left(board, now)
            if board.state == SENDING and prefix not in self._under_way
            else board
            for prefix, board in self._boards.items()
        }
        return rollout, boards

    def _keep(
        self, rollout: Rollout, boards: dict[str, Board], decision: Decision, now: float
    ) -> None:
        """Store what has changed of what is stored."""
        assert self._boards is not None
        after = boards | {board.prefix: board for board in decision.boards}
        changed = {
            prefix: board for prefix, board in after.items() if board is not self._boards[prefix]
        }
        if changed or decision.rollout != rollout:
            entries = _entries(self._boards, changed, now, self._owner, rollout.id)
            entries += _rollout_entries(rollout, decision.rollout, now, self._owner)
            self._store.keep(self._owner, self._ttl, decision.rollout, changed.values(), entries)
            self._boards |= changed

    def _tell(
        self, rollout: Rollout, seen: Mapping[str, Seen], now: float, connected: bool
    ) -> None:
        """Tell of what is stored: those who look on, and boards that sleep."""
        assert self._boards is not None
        self.known = (rollout, dict(self._boards))
        if self._notes and connected:
            self._notes.tell(rollout, self._boards.values(), seen, now, self._offer)

    def _push(self, board: Board) -> None:
        """Begin to push to `board`, which is stored as sending."""
        offer, app = self._image(board.image)
        results, news = self._results, self.news

        def done(outcome: Outcome) -> None:
            results.put((board.prefix, outcome))
            news.set()

        self._under_way.add(board.prefix)
        self._pusher.start(board, offer, app, done)

    def _offer(self, sha256: str) -> Offer:
        return self._image(sha256)[0]

    def _image(self, sha256: str) -> tuple[Offer, bytes]:
        if sha256 not in self._images:
            self._images[sha256] = self._store.image(sha256)
        return self._images[sha256]


def drive(
    driver: Driver,
    stop: threading.Event | None = None,
    trouble: Callable[[StoreError], None] = lambda error: None,
    after: Callable[[Driver], object] = lambda driver: None,
) -> None:
    """Step `driver` until its rollout is over, or until `stop` is set and its news; the lease is
    given back. `trouble` is told when the database cannot be used: that is tried again. `after` is
    called after each step that went well.
    """
    try:
        while not driver.over and not (stop and stop.is_set()):
            driver.news.clear()
            try:
                at = driver.step()
            except StoreError as error:
                trouble(error)
                at = None
            else:
                after(driver)
            pause = _TICK if at is None else min(_TICK, max(0.0, at - time.time()))
            if pause and not driver.over:
                driver.news.wait(pause)
    finally:
        driver.close()


def _entries(
    before: Mapping[str, Board], changed: Mapping[str, Board], now: float, who: str, number: int
) -> list[Entry]:
    """Return what the audit is told of boards: what was done to them, and how that ended."""
    entries = []
    for prefix, board in changed.items():
        old = before[prefix].state
        if board.state == old or {old, board.state} <= QUEUED:
            continue
        result = board.state + (f": {board.reason}" if board.reason else "")
        entries.append(Entry(now, who, "board", number, prefix, result))
    return entries


def _begins(rollout: Rollout) -> str:
    name = rollout.options.wave_name(rollout.wave)
    return f"{name} begin" if name == CANARIES else f"{name} begins"


def _rollout_entries(before: Rollout, after: Rollout, now: float, who: str) -> list[Entry]:
    """Return what the audit is told of the rollout itself."""
    if after == replace(before, wave=after.wave) != before:
        return [Entry(now, who, "wave", after.id, None, _begins(after))]
    if after != before:
        result = after.state + (f": {after.reason}" if after.reason else "")
        return [Entry(now, who, "rollout", after.id, None, result)]
    return []
