"""Decides about one board: what its state becomes by what is seen of it, or by how a push ended.

All functions take a board and return it as it is afterwards; the same if nothing has changed.
"""

from dataclasses import replace

from mqhost.fleet.rollout.options import Options, duration_text
from mqhost.fleet.rollout.outcome import Outcome
from mqhost.fleet.rollout.states import (
    ABSENT,
    DONE,
    DROPPED,
    FAILED,
    QUEUED,
    SENDING,
    SETTLING,
    WAITING,
    Board,
    Seen,
)

ATTEMPTS = 3  # that were counted, until a board has failed
PAUSE = 30.0  # seconds to the second attempt, twice that to the next


def moved(board: Board, state: str, now: float, reason: str = "") -> Board:
    """Return `board` in another state from now on."""
    return replace(board, state=state, reason=reason, since=now, not_before=None, steady_since=None)


def look(
    board: Board, seen: Seen | None, now: float, options: Options, patient: bool = False
) -> Board:
    """Return `board`, whose turn has come, by what is `seen` of it: None stands for nothing ever.
    `patient`: nobody is given up for being absent.
    """
    if board.state in QUEUED:
        looked = _look_queued(board, seen, now, options)
        return board if patient and looked.state == DROPPED else looked
    if board.state == SETTLING:
        return _look_settling(board, seen, now, options)
    return board


def deadline(board: Board, options: Options) -> float | None:
    """Return when something becomes of `board` although nothing is seen of it; None for never."""
    if board.state == ABSENT and board.turn_at is not None:
        return board.turn_at + options.wait
    if board.state == SETTLING and board.since is not None:
        if board.steady_since is not None:
            return board.steady_since + options.settle
        return board.since + max(options.wait, options.settle)
    return board.not_before if board.state == WAITING else None


def sent(board: Board, now: float) -> Board:
    """Return `board` as it is when a push begins."""
    return moved(board, SENDING, now)


def pushed(board: Board, outcome: Outcome, online: bool, now: float, options: Options) -> Board:
    """Return `board`, which was sending, after its push ended, and is `online` or not."""
    if outcome.confirmed:
        return moved(board, SETTLING, now)
    if not outcome.passing:
        return moved(board, FAILED, now, outcome.reason)
    waiting = moved(board, WAITING, now, outcome.reason)
    if not outcome.counted or not online:
        if online and board.turn_at is not None and now >= board.turn_at + options.wait:
            return moved(board, FAILED, now, outcome.reason)
        return replace(waiting, not_before=now + PAUSE)
    attempts = board.attempts + 1
    if attempts >= ATTEMPTS:
        reason = f"{outcome.reason} That was attempt {attempts}."
        return replace(moved(board, FAILED, now, reason), attempts=attempts)
    return replace(waiting, attempts=attempts, not_before=now + PAUSE * 2 ** (attempts - 1))


def left(board: Board, now: float) -> Board:
    """Return `board`, which was sending when its driver ended: it has its turn again, and at once:
    it joins what is under way."""
    return moved(board, WAITING, now)


def _look_queued(board: Board, seen: Seen | None, now: float, options: Options) -> Board:
    if seen and seen.online:
        if seen.runs(board.image):
            return _look_settling(moved(board, SETTLING, now), seen, now, options)
        return moved(board, WAITING, now) if board.state == ABSENT else board
    if board.state == WAITING:
        return moved(board, ABSENT, now, board.reason)
    if board.turn_at is not None and now >= board.turn_at + options.wait:
        return moved(board, DROPPED, now, f"absent for {duration_text(options.wait)}")
    return board


def _look_settling(board: Board, seen: Seen | None, now: float, options: Options) -> Board:
    """A board is done when it has been confirmed and healthy, in one boot, for the settle time."""
    since = now if board.since is None else board.since
    if not seen or not (seen.online or seen.asleep):
        return _unsteady(board, "is offline", now, options)
    if seen.image != board.image:
        if seen.at < since:  # what was heard before it restarted
            return _unsteady(board, "has not been heard since", now, options)
        reason = f"went back after it had confirmed the image: it runs {seen.version}"
        return moved(board, FAILED, now, reason)
    if not seen.healthy:
        return moved(board, FAILED, now, "runs the image, but not in normal mode")
    if not seen.confirmed:
        return _unsteady(board, "has not confirmed the image again", now, options)
    # Each wake of a board that sleeps is another boot, which begins with a sleep that it told of.
    slept = seen.sleeper and board.steady_since is not None
    if board.steady_since is None or board.boot_id != seen.boot_id and not slept:
        board = replace(board, steady_since=now, boot_id=seen.boot_id, reason="")
    if board.steady_since is not None and now >= board.steady_since + options.settle:
        return moved(board, DONE, now)
    return board


def _unsteady(board: Board, why: str, now: float, options: Options) -> Board:
    if board.since is not None and now >= board.since + max(options.wait, options.settle):
        waited = duration_text(max(options.wait, options.settle))
        reason = f"confirmed the image, and then {why}: it has not settled within {waited}"
        return moved(board, FAILED, now, reason)
    if board.steady_since is None:
        return board
    return replace(board, steady_since=None)
