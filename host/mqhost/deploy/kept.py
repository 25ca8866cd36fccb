"""Asks a board for the applications that it has, and has it go back to the one before."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mqhost.deploy.outcome import PATIENCE, POLL, label_of, refused, wait_confirmed
from mqhost.errors import BoardError
from mqhost.link.session import Session
from mqhost.link.settings import command_line
from mqwire import app, codes


@dataclass(frozen=True)
class Kept:
    """An application that a board has, or the one that `failed` last. `state` is a word of
    mqwire.app, or PREVIOUS or FAILED; `reason` says why it failed.
    """

    id: str
    name: str
    version: str
    seq: int | None
    state: str
    reason: str


PREVIOUS, FAILED = "previous", "failed"


def list_kept(session: Session) -> tuple[list[Kept], dict[str, Any]]:
    """Ask the board for its applications: the one that runs, the one before, the one that failed
    last. Return them and what the board said.
    """
    record = session.request_json("apps", b"{}")
    rows = (("now", str(record.get("state"))), ("before", PREVIOUS), ("failed", FAILED))
    found = [_kept(record.get(key), state) for key, state in rows]
    return [each for each in found if each], record


@dataclass(frozen=True)
class Return:
    """What a board went back to, and how many seconds it took."""

    id: str
    name: str
    version: str
    seconds: float


def roll_back(
    session: Session, force: bool = False, report: Callable[[str], None] = lambda stage: None
) -> Return:
    """Have the board of `session` run the application before this one; return when that is
    confirmed.

    `force`: even one that is older than what was confirmed since, if the board's configuration
    allows it. Raises RefusedError with what the board says against it; WentBack when it does not
    prove good again.
    """
    start = time.monotonic()
    session.hold_to(session.request_json("info").get("id"))
    body = json.dumps({"rollback": True, "force": force}).encode()
    while True:
        told = session.request_json("apps", body)
        if told.get("code") != codes.UNCONFIRMED or time.monotonic() > start + PATIENCE:
            break
        time.sleep(POLL)
    if "refused" in told:
        look = command_line(session.prefix, "deploy --list")
        raise refused(session.prefix, told, f"Which ones it has: {look}")
    ident = told.get("id")
    if not isinstance(ident, str):
        raise BoardError(f"{session.prefix} does not say what it goes back to: {told!r:.100}")
    wait_confirmed(session, ident, label_of(told), told, report)
    name, version = str(told.get("name")), str(told.get("version"))
    return Return(ident, name, version, time.monotonic() - start)


def _kept(said: Any, state: str) -> Kept | None:
    if not isinstance(said, dict):
        return None
    seq = said.get("seq")
    return Kept(
        str(said.get("id")),
        str(said.get("name")),
        str(said.get("version")),
        seq if isinstance(seq, int) else None,
        state,
        str(said.get("reason") or ""),
    )


def state_text(said: Any) -> str:
    """Write out what a status says under `app`."""
    if not isinstance(said, dict):
        return str(said)
    text = label_of(said)
    if said.get("state") != app.NONE:
        text += f" ({said.get('state')})"
    failed = said.get("failed")
    if isinstance(failed, dict):
        text += f"; {label_of(failed)} failed: {failed.get('reason')}"
    return text
