"""Decides what happens next in a rollout: from its stored state, from who is online, and from the
time. It changes nothing: `drive` does what it decides, and asks again.

A wave begins when all boards of the waves before it have ended. The share that may fail is one of
the boards whose turn has come, the absent ones among them, without those that were dropped: so it
does not depend on the order in which boards answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from mqhost.errors import UsageError
from mqhost.fleet.rollout.look import deadline, look, moved, sent
from mqhost.fleet.rollout.options import Share
from mqhost.fleet.rollout.states import (
    ABORTED,
    ABSENT,
    DROPPED,
    FAILED,
    FINISHED,
    NOT_BEGUN,
    PAUSED,
    QUEUED,
    RUNNING,
    SENDING,
    SETTLING,
    SKIPPED,
    STOPPED,
    WAITING,
    Board,
    Rollout,
    Seen,
)

RETRIED = (FAILED, DROPPED)  # what retry_failed has another turn for


@dataclass(frozen=True)
class Decision:
    """What to do: store `rollout` and the `boards` that have changed, then push to those of them
    that are sending. `wake`: when to decide again at the latest, None: when something happens.
    """

    rollout: Rollout
    boards: tuple[Board, ...]
    wake: float | None

    @property
    def send(self) -> list[Board]:
        """The boards to push to."""
        return [board for board in self.boards if board.state == SENDING]


def decide(
    rollout: Rollout,
    boards: Iterable[Board],
    seen: Mapping[str, Seen],
    now: float,
    connected: bool = True,
    zone: tzinfo | None = None,
) -> Decision:
    """Return what is to be done now. While we are not `connected` to the broker, what was seen
    last is old: nothing is decided by it.
    """
    before = {board.prefix: board for board in boards}
    after = dict(before)
    if connected:
        patient = rollout.state != RUNNING
        for prefix, board in before.items():
            if has_turn(board, rollout) and not board.ended:
                after[prefix] = look(board, seen.get(prefix), now, rollout.options, patient)
    if rollout.state == ABORTED:
        after = {prefix: given_up(board, rollout, now) for prefix, board in after.items()}
    next_ = _next(rollout, after.values())
    if next_.wave != rollout.wave:
        for prefix, board in after.items():
            if board.wave == next_.wave:
                after[prefix] = replace(board, turn_at=now)
    elif connected and may_send(next_, now, zone):
        after |= {board.prefix: sent(board, now) for board in _chosen(next_, after, seen, now)}
    changed = tuple(board for prefix, board in after.items() if board is not before[prefix])
    wake = now if next_ != rollout else _wake(next_, after.values(), now, zone)
    return Decision(next_, changed, wake)


def allowed(rollout: Rollout, boards: Iterable[Board]) -> int:
    """Return how many boards may fail by now."""
    turns = sum(
        has_turn(board, rollout) and board.state not in (SKIPPED, DROPPED) for board in boards
    )
    return rollout.options.max_failed.rounded_down(turns)


def over(rollout: Rollout, boards: Iterable[Board]) -> bool:
    """Return whether nothing more happens in `rollout` by itself nor by `resume`."""
    if rollout.state == ABORTED:
        return all(board.ended for board in boards)
    return rollout.state == FINISHED


def resting(rollout: Rollout, boards: Iterable[Board]) -> bool:
    """Return whether `rollout` has stopped by itself, and nothing is under way in it any more."""
    return rollout.state == STOPPED and not any(
        board.state == SENDING or board.state == SETTLING and board.steady_since is not None
        for board in boards
    )


def has_turn(board: Board, rollout: Rollout) -> bool:
    """Return whether the turn of `board` has come."""
    return NOT_BEGUN < board.wave <= rollout.wave


def may_send(rollout: Rollout, now: float, zone: tzinfo | None = None) -> bool:
    """Return whether pushes may begin now."""
    window = rollout.options.window
    return rollout.state == RUNNING and (window is None or window.holds(now, zone))


def shut_until(rollout: Rollout, now: float, zone: tzinfo | None = None) -> float | None:
    """Return when the window of `rollout` opens; None if it is open, or there is none."""
    window = rollout.options.window
    if window is None or rollout.state != RUNNING or window.holds(now, zone):
        return None
    return window.opens(now, zone)


# What people ask for


def pause(rollout: Rollout, who: str) -> Rollout:
    """Return `rollout` paused: what is under way ends, nothing begins. UsageError if it is over."""
    _need_open(rollout)
    return replace(rollout, state=PAUSED, reason=f"paused by {who}")


def abort(rollout: Rollout, who: str) -> Rollout:
    """Return `rollout` aborted: what is under way ends, all others are dropped."""
    _need_open(rollout)
    return replace(rollout, state=ABORTED, reason=f"aborted by {who}")


def resume(
    rollout: Rollout, boards: Sequence[Board], now: float, max_failed: Share | None = None
) -> tuple[Rollout, list[Board]]:
    """Return `rollout` running again, and its boards: who is absent is waited for anew. UsageError
    if it would stop at once: then `max_failed` must be larger, or some must be tried again.
    """
    _need_open(rollout)
    options = replace(rollout.options, max_failed=max_failed or rollout.options.max_failed)
    resumed = replace(rollout, state=RUNNING, reason="", options=options)
    if _too_many(resumed, boards):
        failed = sum(board.state == FAILED for board in boards)
        raise UsageError(
            f"Rollout {rollout.id} would stop at once: {failed} failed, and "
            f"{allowed(resumed, boards)} may by now (--max-failed {options.max_failed}). Try these "
            "again (retry-failed), or allow more (--max-failed)."
        )
    return resumed, [_anew(board, now) if _waits(board, rollout) else board for board in boards]


def retry_failed(
    rollout: Rollout, boards: Sequence[Board], now: float
) -> tuple[Rollout, list[Board]]:
    """Return `rollout` running, and its boards, of which those that failed or were given up have
    their turn again, also with an image that they have gone back from.
    """
    if rollout.state == ABORTED:
        raise UsageError(
            f"Rollout {rollout.id} was aborted. Make a new one for the boards it has not reached."
        )
    if not any(board.state in RETRIED for board in boards):
        raise UsageError(f"No board of rollout {rollout.id} has failed: there is nothing to retry.")
    retried = [
        replace(
            moved(board, WAITING, now, board.reason),
            turn_at=now,
            attempts=0,
            again=board.again or board.state == FAILED,
        )
        if board.state in RETRIED
        else _anew(board, now)
        if _waits(board, rollout)
        else board
        for board in boards
    ]
    return replace(rollout, state=RUNNING, reason=""), retried


def _need_open(rollout: Rollout) -> None:
    if rollout.state in (ABORTED, FINISHED):
        raise UsageError(f"Rollout {rollout.id} is {rollout.state}: nothing can be changed in it.")


def _waits(board: Board, rollout: Rollout) -> bool:
    return has_turn(board, rollout) and board.state in QUEUED


def _anew(board: Board, now: float) -> Board:
    return replace(board, turn_at=now)


def given_up(board: Board, rollout: Rollout, now: float) -> Board:
    """Return `board` of an aborted rollout: dropped, unless what is under way will end."""
    vanished = board.state == SETTLING and board.steady_since is None
    if board.state in QUEUED or vanished:
        return moved(board, DROPPED, now, rollout.reason)
    return board


def _next(rollout: Rollout, boards: Iterable[Board]) -> Rollout:
    """Return `rollout` stopped, in its next wave, or finished, if it is time for that."""
    boards = list(boards)
    if rollout.state != RUNNING:
        return rollout
    if why := _too_many(rollout, boards):
        return replace(rollout, state=STOPPED, reason=why)
    if any(has_turn(board, rollout) and not board.ended for board in boards):
        return rollout
    coming = [board.wave for board in boards if board.wave > rollout.wave]
    if coming:
        return replace(rollout, wave=min(coming))
    return replace(rollout, state=FINISHED)


def _too_many(rollout: Rollout, boards: Iterable[Board]) -> str:
    """Say that more boards have failed than may; "" if they have not."""
    boards = list(boards)
    failed = sum(board.state == FAILED for board in boards)
    most = allowed(rollout, boards)
    if failed <= most:
        return ""
    limit = rollout.options.max_failed
    return f"{failed} had failed by then, and {most} might (--max-failed {limit})"


def _chosen(
    rollout: Rollout, boards: Mapping[str, Board], seen: Mapping[str, Seen], now: float
) -> list[Board]:
    """Return the boards whose push begins now: as many as are free to be pushed to in parallel."""
    free = rollout.options.parallel - sum(board.state == SENDING for board in boards.values())
    ready = [
        board
        for prefix, board in boards.items()
        if board.state == WAITING
        and has_turn(board, rollout)
        and (board.not_before is None or board.not_before <= now)
        and prefix in seen
        and seen[prefix].online
    ]
    return sorted(ready, key=lambda board: board.place)[: max(free, 0)]


def _wake(
    rollout: Rollout, boards: Iterable[Board], now: float, zone: tzinfo | None
) -> float | None:
    """Return when something happens by time alone."""
    options = rollout.options
    times = [
        at
        for board in boards
        if has_turn(board, rollout) and (board.state != ABSENT or rollout.state == RUNNING)
        for at in [deadline(board, options)]
        if at is not None and at > now
    ]
    if options.window and not options.window.holds(now, zone):
        times.append(options.window.opens(now, zone))
    return min(times, default=None)
