"""Waits for a board that is away, and updates it once it is there: for hours, if somebody says so.

One that sleeps between two wakes is kept awake by the note that an update waits for it; that goes
when the session ends. Otherwise nothing of that is anywhere but here.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import mqwire
from mqhost.errors import AbsentBoardError, SilentBoardError
from mqhost.link.session import Session
from mqhost.link.sleeper import sleeps

T = TypeVar("T")
AGAIN = 60.0  # seconds until a board that is there and silent is tried again


def when_online(
    session: Session,
    work: Callable[[], T],
    wait: float,
    away: Callable[[str, float], None],
    again: float = AGAIN,
    **image: Any,
) -> T:
    """Call `work` once the board of `session` is online, and return what it gives. When it goes
    away in the middle of it, or is silent, that is done again when it is back; `wait` seconds in
    all. `image` is what the note says of it (docs/protocol.md).

    `away` is told how the board is, in a sentence, and the Unix time until which it is waited for.
    Raises AbsentBoardError when that time is over, and what `work` raises otherwise.
    """
    until = time.time() + wait
    session.status()
    if sleeps(session.last_status):
        session.keep_awake(**image)
    while True:
        _await(session, until, away)
        births = session.births
        try:
            return work()
        except SilentBoardError as error:
            left = until - time.time()
            if left <= 0:
                raise
            if _online(session):
                away(str(error), until)
                _await_birth(session, births, min(again, left))


def _await(session: Session, until: float, away: Callable[[str, float], None]) -> None:
    """Wait until the board is online."""
    if _online(session):
        return
    how = session.absence()
    away(how, until)
    online = session.wait_status(
        lambda status: status.get("state") == mqwire.ONLINE, max(0.0, until - time.time())
    )
    if not online:
        raise AbsentBoardError(
            f"{session.absence() or how} That was all the time that --wait gave it, and nothing "
            "was sent."
        )


def _await_birth(session: Session, births: int, timeout: float) -> None:
    """Wait for another birth than the first `births`, at most so long."""
    session.wait_status(lambda status: session.births != births, timeout)


def _online(session: Session) -> bool:
    return (session.last_status or {}).get("state") == mqwire.ONLINE
