"""Starts rollouts, finds the one that is meant, and changes it as people ask: for the command line
and for the page alike.
"""

import os
import pwd
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from mqhost.errors import UsageError
from mqhost.fleet.rollout import engine
from mqhost.fleet.rollout.options import Options, Share
from mqhost.fleet.rollout.plan import Plan
from mqhost.fleet.rollout.states import ABORTED, ENDED, FINISHED, Board, Rollout

if TYPE_CHECKING:  # what only looks at rollouts waits for none of these
    from mqhost.fleet.rollout.images import Image
    from mqhost.fleet.store.store import Store
    from mqhost.link.settings import Settings


def person() -> str:
    """Return who is at this machine, for the audit."""
    name = f"user {os.getuid()}"
    with suppress(KeyError):
        name = pwd.getpwuid(os.getuid()).pw_name
    return f"{name}@{socket.gethostname()}"


def broker_name(settings: "Settings") -> str:
    """Return what a rollout is told apart by from those at other brokers."""
    return settings.where


def driver_name() -> str:
    """Return a name that no other driver has, also not one that was killed before."""
    return f"{person()} (process {os.getpid()}, {secrets.token_hex(3)})"


def start(
    store: "Store",
    plan: Plan,
    images: "Iterable[Image]",
    options: Options,
    *,
    broker: str,
    who: str,
) -> int:
    """Keep a new rollout; return its number. UsageError if no board has anything to do in it, or
    one is still to be updated by another rollout.
    """
    check(plan)
    return store.create(plan, images, options, broker=broker, who=who)


def check(plan: Plan) -> None:
    """Raise UsageError if no board has anything to do in `plan`."""
    if not plan.waves:
        reasons = sorted({board.reason for board in plan.skipped})
        raise UsageError(f"There is nothing to roll out: {'; '.join(reasons)}.")


def pause(store: "Store", number: int, who: str) -> Rollout:
    """Pause a rollout: nothing begins, what is under way goes on. UsageError if it is over."""
    return store.change(
        number, who, "pause", lambda rollout, boards, now: (engine.pause(rollout, who), boards)
    )


def resume(store: "Store", number: int, who: str, max_failed: Share | None = None) -> Rollout:
    """Go on with a rollout that was paused or has stopped; from now on `max_failed` may fail.
    UsageError if it is over, or would stop at once.
    """
    return store.change(
        number,
        who,
        "resume",
        lambda rollout, boards, now: engine.resume(rollout, boards, now, max_failed),
    )


def abort(store: "Store", number: int, who: str) -> Rollout:
    """Abort a rollout for good: all that wait are dropped. UsageError if it is over.

    Boards that are in the middle of it end with whoever drives it next.
    """

    def edit(rollout: Rollout, boards: list[Board], now: float) -> tuple[Rollout, list[Board]]:
        aborted = engine.abort(rollout, who)
        return aborted, [engine.given_up(board, aborted, now) for board in boards]

    return store.change(number, who, "abort", edit)


def retry_failed(store: "Store", number: int, who: str) -> Rollout:
    """Have failed and dropped boards have another turn. UsageError if there are none, if it was
    aborted, or if the image is not kept any more.
    """
    _, boards = store.read(number)
    for image in {board.image for board in boards if board.state in engine.RETRIED}:
        store.image(image)
    return store.change(number, who, "retry-failed", engine.retry_failed)


def is_open(rollout: Rollout, counts: Mapping[str, int]) -> bool:
    """Return whether something may still happen in `rollout` without a retry: `counts` says how
    many of its boards are in which state."""
    if rollout.state == ABORTED:
        return any(count for state, count in counts.items() if state not in ENDED)
    return rollout.state != FINISHED


def aged(store: "Store", seconds: float) -> list[int]:
    """Return the rollouts that are over, and were started longer ago than that."""
    counts, now = store.counts(), time.time()
    return [
        one.id
        for one in store.rollouts()
        if not is_open(one, counts.get(one.id, {})) and one.created_at <= now - seconds
    ]


def find(store: "Store", number: int | None, broker: str, last: bool = False) -> Rollout:
    """Return the rollout `number`, or the one at `broker` that is not over; with `last` the newest
    if all are. UsageError if there are several, or none.
    """
    if number is not None:
        return store.rollout(number)
    rollouts, counts = store.rollouts(broker), store.counts()
    going_on = [one for one in rollouts if is_open(one, counts.get(one.id, {}))]
    if len(going_on) == 1:
        return going_on[0]
    if going_on:
        names = ", ".join(f"{one.id} ({one.state})" for one in going_on)
        raise UsageError(f"Which rollout? Give its number: {names}.")
    if last and rollouts:
        return rollouts[0]
    where = f"at the broker {broker} in the database {store.database.where}"
    if rollouts:
        raise UsageError(
            f"No rollout goes on {where}. Give the number of one that is over: the last is "
            f"{rollouts[0].id}."
        )
    raise UsageError(f"There is no rollout {where}.")
