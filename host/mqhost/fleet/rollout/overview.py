"""Counts a rollout for those who look at it: how far each wave is, who is under way, who failed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from mqhost.fleet.rollout.engine import allowed
from mqhost.fleet.rollout.states import (
    ABSENT,
    DROPPED,
    FAILED,
    NOT_BEGUN,
    SENDING,
    SETTLING,
    STATES,
    Board,
    Rollout,
)


@dataclass(frozen=True)
class Wave:
    """The boards of wave `number`, from 0, which are the canaries if there are any."""

    number: int
    total: int
    counts: dict[str, int]

    @property
    def ended(self) -> int:
        """How many of them are done, failed or dropped."""
        return sum(self.counts.get(state, 0) for state in ("done", FAILED, DROPPED))


@dataclass(frozen=True)
class Overview:
    """How `rollout` is: `counts` of boards by state, without states that none is in; `may_fail`
    boards may fail by now."""

    rollout: Rollout
    boards: Sequence[Board]
    counts: dict[str, int]
    waves: list[Wave]
    may_fail: int

    @classmethod
    def of(cls, rollout: Rollout, boards: Iterable[Board]) -> "Overview":
        """Count `boards`."""
        known = sorted(boards, key=lambda board: board.place)
        by_wave: dict[int, list[Board]] = {}
        for board in known:
            if board.wave != NOT_BEGUN:
                by_wave.setdefault(board.wave, []).append(board)
        waves = [Wave(number, len(found), _counts(found)) for number, found in by_wave.items()]
        return cls(rollout, known, _counts(known), waves, allowed(rollout, known))

    def in_state(self, *states: str) -> list[Board]:
        """Return the boards in one of `states`, in their order."""
        return [board for board in self.boards if board.state in states]

    @property
    def under_way(self) -> list[Board]:
        """Those that are being updated."""
        return self.in_state(SENDING, SETTLING)

    @property
    def absent(self) -> list[Board]:
        """Those whose turn has come, and that are waited for."""
        return self.in_state(ABSENT)

    def record(self, boards: bool = True) -> dict[str, Any]:
        """Return it for scripts; without its `boards` the rollout only."""
        one = self.rollout
        record = {
            "id": one.id,
            "state": one.state,
            "reason": one.reason,
            "broker": one.broker,
            "created_at": _time(one.created_at),
            "created_by": one.created_by,
            "options": one.options.record(),
            "wave": one.wave,
            "may_fail": self.may_fail,
            "counts": self.counts,
            "waves": [asdict(wave) for wave in self.waves],
        }
        return record | ({"boards": list(map(board_record, self.boards))} if boards else {})


def board_record(board: Board) -> dict[str, Any]:
    """Return a board of a rollout for scripts."""
    keys = ("prefix", "type", "image", "wave", "state", "reason", "attempts")
    return {key: getattr(board, key) for key in keys} | {"since": _time(board.since)}


def _counts(boards: Iterable[Board]) -> dict[str, int]:
    counts = Counter(board.state for board in boards)
    return {state: counts[state] for state in STATES if counts[state]}


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
