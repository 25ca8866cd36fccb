"""Makes the picture of a rollout: wave by wave, a square for each board, or a bar where they are
too many for that."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mqhost.fleet.rollout.overview import Overview
from mqhost.fleet.rollout.states import (
    ABSENT,
    DONE,
    DROPPED,
    ENDED,
    FAILED,
    FINISHED,
    PAUSED,
    RUNNING,
    SENDING,
    SETTLING,
    SKIPPED,
    STOPPED,
    WAITING,
    Board,
    Rollout,
)

# In the order in which a wave goes through them, as they are drawn and counted.
ORDER = (DONE, SETTLING, SENDING, WAITING, ABSENT, FAILED, DROPPED, SKIPPED)
_SQUARES = 400  # in a wave, at most
_FINE = 120  # from so many on they are smaller
_MOST = 500  # boards in a list
# What somebody wants to know first.
_FIRST = (FAILED, SENDING, SETTLING, ABSENT, DROPPED, WAITING, DONE, SKIPPED)
BADGES = {RUNNING: "busy", PAUSED: "warn", STOPPED: "bad", FINISHED: "good"}
BOARD_BADGES = {FAILED: "bad", DONE: "good", SENDING: "busy", SETTLING: "busy", DROPPED: "warn"}


@dataclass(frozen=True)
class Wave:
    """The boards of a wave; `begun`: it is their turn, or was; `ended`: so many are through."""

    name: str
    begun: bool
    boards: Sequence[Board]
    counts: Sequence[tuple[str, int]]
    ended: int

    @property
    def squares(self) -> Sequence[Board]:
        """A board for each square, none if there would be too many."""
        return self.boards if len(self.boards) <= _SQUARES else ()

    @property
    def fine(self) -> bool:
        """Whether the squares are small."""
        return len(self.boards) > _FINE

    def share(self, count: int) -> float:
        """Return how much of the wave `count` boards are, in percent."""
        return 100 * count / len(self.boards)


@dataclass(frozen=True)
class Picture:
    """What is to be seen of a rollout. `boards` are those to list, `left_out` more are not."""

    rollout: Rollout
    counts: Sequence[tuple[str, int]]
    waves: Sequence[Wave]
    boards: Sequence[Board]
    left_out: int
    may_fail: int
    total: int

    @classmethod
    def of(cls, rollout: Rollout, boards: Iterable[Board]) -> "Picture":
        """Make it of what the database has."""
        seen = Overview.of(rollout, boards)
        waves = [
            Wave(
                rollout.options.wave_name(wave.number).capitalize(),
                wave.number <= rollout.wave,
                [board for board in seen.boards if board.wave == wave.number],
                _ordered(wave.counts),
                wave.ended,
            )
            for wave in seen.waves
        ]
        listed = sorted(seen.boards, key=lambda board: (_FIRST.index(board.state), board.place))
        rest = max(0, len(listed) - _MOST)
        return cls(
            rollout, _ordered(seen.counts), waves, listed[:_MOST], rest, seen.may_fail, len(listed)
        )

    @property
    def done(self) -> int:
        """How many boards are through, one way or the other."""
        return sum(count for state, count in self.counts if state in ENDED)

    @property
    def open(self) -> bool:
        """Whether something may still happen."""
        return self.rollout.state in (RUNNING, PAUSED, STOPPED)

    @property
    def retriable(self) -> bool:
        """Whether there are boards that may have another turn."""
        states = {state for state, _ in self.counts}
        return bool(states & {FAILED, DROPPED}) and self.rollout.state != "aborted"


def _ordered(counts: dict[str, int]) -> Sequence[tuple[str, int]]:
    return [(state, counts[state]) for state in ORDER if counts.get(state)]
