"""Reads the clock of a board, which it tells with `info`, and sets it: the command `clock`."""

import time
from dataclasses import dataclass
from typing import Any

from mqhost.errors import BoardError
from mqhost.link.session import Session


@dataclass(frozen=True)
class BoardClock:
    """What time a board has (Unix seconds), from where, and whether that can be trusted; `ahead`:
    by how many seconds it is ahead of this machine's clock, as far as the way there lets us know.
    """

    time: int
    trusted: bool
    source: str
    ahead: int

    def record(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "time": self.time,
            "trusted": self.trusted,
            "source": self.source,
            "ahead_s": self.ahead,
        }


def read_clock(session: Session) -> BoardClock:
    """Ask the board; BoardError where its firmware tells no time."""
    asked = time.time()
    said = session.request_json("info").get("clock")
    now = (asked + time.time()) / 2
    if not isinstance(said, dict) or not isinstance(said.get("time"), int):
        raise BoardError(f"{session.prefix} tells no time: it needs newer firmware.")
    told = said["time"]
    return BoardClock(told, said.get("trusted") is True, str(said.get("source")), round(told - now))


def set_clock(session: Session) -> None:
    """Set the board's clock to this machine's time. BoardError when the board does not take it."""
    session.request("clock", str(round(time.time())).encode())
