"""Knows how every board is, now: by its last status, and by what it said when it was asked.

One roster hears all statuses. What is made of a status is made once, when it comes, and not for
each of those who look.
"""

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mqhost.fleet.presence import Presence
from mqhost.fleet.server.changes import BOARD, Changes
from mqhost.fleet.where import Where
from mqhost.link.connection import Connection
from mqhost.link.roster import ALL, Roster, prefix_filters

_KEPT = ("heap_free", "rssi", "uptime_s", "reconnects")
_LONGEST_REMARK = 1000  # characters
_LARGEST = 1 << 31  # no board has so much memory, nor runs for 68 years


@dataclass(frozen=True)
class Facts:
    """What a board said when it was asked, or by itself, at the Unix time `at`."""

    at: float
    heap_free: int | None = None
    rssi: int | None = None
    uptime_s: int | None = None
    reconnects: int | None = None

    @classmethod
    def of(cls, at: float, said: dict[str, Any]) -> "Facts":
        """Take what is kept of what a board `said`; what is no number that can be is left out."""
        kept = {key: said.get(key) for key in _KEPT}
        return cls(at, **{key: value for key, value in kept.items() if _can_be(value)})

    def record(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {"at": self.at} | {key: getattr(self, key) for key in _KEPT}


class Live:
    """The boards at prefixes that match `patterns`, while the `with` block runs.

    `heard(prefix, before, now)` is called with what was known of a board and what is, in the
    network thread. `changes` are told of each board that says something.
    """

    def __init__(
        self,
        connection: Connection,
        changes: Changes,
        patterns: Sequence[str] = (ALL,),
        heard: Callable[[str, Presence | None, Presence | None], None] = lambda *_: None,
    ) -> None:
        self._connection = connection
        self._changes = changes
        self._heard = heard
        self._roster = Roster(connection, patterns, self._hear)
        self._lock = threading.Lock()
        self._boards: dict[str, Presence] = {}
        self._sorted: list[Presence] | None = []
        self._facts: dict[str, Facts] = {}

    def __enter__(self) -> "Live":
        self._roster.__enter__()
        self._roster.settle()
        return self

    def __exit__(self, *_: object) -> None:
        self._roster.__exit__()

    @property
    def connected(self) -> bool:
        """Whether the broker tells us what happens."""
        return self._connection.connected

    def boards(self) -> list[Presence]:
        """Return all boards, by prefix."""
        with self._lock:
            if self._sorted is None:
                self._sorted = [self._boards[prefix] for prefix in sorted(self._boards)]
            return list(self._sorted)

    def get(self, prefix: str) -> Presence | None:
        """Return how a board is; None if nobody has announced himself there."""
        return self._boards.get(prefix)

    def chosen(self, where: str | None = None, patterns: Iterable[str] = ()) -> list[Presence]:
        """Return the boards at `patterns` (all, if there are none) for which `where` holds.

        Raises UsageError for a condition or a pattern that is none.
        """
        found = self.boards()
        if tests := [matching(pattern) for pattern in patterns]:
            found = [board for board in found if any(test(board.prefix) for test in tests)]
        if where:
            condition = Where.parse(where)
            condition.check(found)
            found = [board for board in found if condition.matches(board)]
        return found

    def facts(self, prefix: str) -> Facts | None:
        """Return what a board said last when it was asked; None if it never was."""
        return self._facts.get(prefix)

    def note(self, prefix: str, said: dict[str, Any]) -> Facts:
        """Keep what a board has said when it was asked."""
        facts = Facts.of(time.time(), said)
        self._facts[prefix] = facts
        self._changes.tell(BOARD, prefix)
        return facts

    def recall(self, prefix: str, facts: Facts) -> None:
        """Take what a board said to somebody else, if nothing newer is known."""
        known = self._facts.get(prefix)
        if prefix in self._boards and (known is None or known.at < facts.at):
            self._facts[prefix] = facts
            self._changes.tell(BOARD, prefix)

    def record(self, board: Presence, whole: bool = False) -> dict[str, Any]:
        """Return a board for scripts: its status, since when, remarks, and `facts`. What no board
        of ours says is cut, if it is not to be `whole`: there may be many.
        """
        facts = self._facts.get(board.prefix)
        remarks = [one if whole else one[:_LONGEST_REMARK] for one in board.remarks]
        told = {"online": board.online, "asleep": board.asleep, "remarks": remarks}
        return board.record(whole) | told | {"facts": facts and facts.record()}

    async def changes(self, pause: float = 1.0) -> AsyncIterator[set[str]]:
        """Yield the prefixes of boards that have said something, at most every `pause` seconds."""
        with self._changes.listening() as listener:
            while True:
                batch = await listener.next(pause)
                if prefixes := {name for kind, name in batch if kind == BOARD}:
                    yield prefixes

    def _hear(self, prefix: str) -> None:
        """Take a status, in the network thread."""
        sighting = self._roster.sighting(prefix)
        with self._lock:
            before = self._boards.get(prefix)
            now = Presence.of(prefix, sighting) if sighting else None
            if now:
                self._boards[prefix] = now
                self._sorted = None
            elif before:
                del self._boards[prefix]
                self._facts.pop(prefix, None)
                self._sorted = None
        self._heard(prefix, before, now)
        self._changes.tell(BOARD, prefix)


def _can_be(value: Any) -> bool:
    return type(value) is int and abs(value) < _LARGEST


def matching(pattern: str) -> Callable[[str], bool]:
    """Return the test whether a prefix matches `pattern`; UsageError if that is none."""
    prefix_filters(pattern)
    levels = pattern.split("/")
    rest = levels[-1] == ALL
    fixed = levels[:-1] if rest else levels

    def test(prefix: str) -> bool:
        parts = prefix.split("/")
        long_enough = len(parts) > len(fixed) if rest else len(parts) == len(fixed)
        return long_enough and all(
            wanted in ("+", part) for wanted, part in zip(fixed, parts, strict=False)
        )

    return test
