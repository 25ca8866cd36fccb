"""Sends a board another configuration, and stays until it is clear which one it runs with.

The board tries it (docs/board.md): either it is confirmed, or the board is back with the old one.
The board is followed to another prefix at the same broker; to another broker it cannot be.
"""

import functools
import json
import queue
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

import mqwire
from mqhost.errors import BoardError, RefusedError, SilentBoardError, UsageError
from mqhost.link.session import Session, Status
from mqhost.link.settings import command_line
from mqhost.manage.configuration import Configuration, fetch
from mqwire.config import MAX_KEPT, PLAIN_PORT, TLS_PORT
from mqwire.secrets import is_placeholder

_LISTS = ("unknown", "unkept")  # in the board's answer
SETTLE, SEND, TRY = "settle", "send", "try"  # the stages
_SETTLE_SECONDS = 60.0  # that a board is waited for which has just started
_POLL_SECONDS = 0.5
_RESTARTS = 120.0  # seconds for two restarts and connections: there, and back if it must


class WentBack(BoardError):
    """Raised when the board tried the new configuration and is back with the old one."""


@dataclass(frozen=True)
class Confirmed:
    """Where the board is now, its status, how many seconds it took, which keys it ignores, and of
    which certificates it keeps no copies (docs/board.md).
    """

    prefix: str
    status: Status
    seconds: float
    unknown: list[str]
    unkept: list[str]


@dataclass(frozen=True)
class _Trial:
    """What is waited for: the configuration of command `ident`, with `window` seconds to prove
    itself, of a board that was in the boot `boot_id`.
    """

    ident: str
    window: float
    unknown: list[str]
    unkept: list[str]
    boot_id: str
    elsewhere: str  # its broker, where that is another one than before; or ""


def change(
    session: Session,
    old: Configuration,
    new: dict[str, Any] | None,
    report: Callable[[str], None] = lambda stage: None,
) -> Confirmed:
    """Have the board of `session` run with `new`, or with what it had before if that is None.

    Raises UsageError for an auth.key that is not in the settings of `session`, RefusedError with
    what the board says against it, WentBack, and SilentBoardError when the
    board does not show in time; then the message says what happens by itself.
    """
    start = time.monotonic()
    _check_key(session, new)
    session.hold_to(session.request_json("info").get("id"))
    prefix = session.prefix if new is None else str(new.get("prefix"))
    with ExitStack() as stack:
        places = [session]
        if prefix != session.prefix:
            there = Session(replace(session.settings, prefix=prefix, id=""))
            places.append(_place(session, stack.enter_context(there)))
        news: queue.SimpleQueue[tuple[Session, Status]] = queue.SimpleQueue()
        for each in places:
            each.watch_status(functools.partial(_note, news, each))
        report(SEND)
        trial = _send(session, old, new)
        place, status = _wait(session, places, trial, news, report)
        # Nobody is at the old prefix any more, unless two boards were.
        if place is not session and not (session.last_status or {}).get("twin"):
            topic = mqwire.status_topic(session.prefix)
            session.connection.publish(topic, b"", retain=True).wait_for_publish(5)
    seconds = time.monotonic() - start
    return Confirmed(place.prefix, status, seconds, trial.unknown, trial.unkept)


def fetch_settled(session: Session, report: Callable[[str], None]) -> Configuration:
    """Ask for the configuration, until the board takes another or has had time enough for that."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while not (now := fetch(session)).settled and time.monotonic() < deadline:
        report(SETTLE)
        time.sleep(_POLL_SECONDS)
    return now


def body_of(record: dict[str, Any]) -> bytes:
    """Return the text of the file that a board gets: readable, if that is not too long."""
    text = json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n"
    if len(text) <= MAX_KEPT:
        return text
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _note(
    news: queue.SimpleQueue[tuple[Session, Status]], place: Session, status: Status | None
) -> None:
    news.put((place, status or {}))


def _place(session: Session, place: Session) -> Session:
    """Have `place`, where the board is to be, mean this board; it must be nobody's prefix."""
    status = place.status() or {}
    if status.get("state") == mqwire.ONLINE and status.get("id") != session.board_id:
        raise UsageError(
            f"There is a board at {place.prefix} already ({status.get('board')!s:.40}, "
            f"{status.get('version')!s:.60}). Nothing was sent; choose another prefix."
        )
    place.hold_to(session.board_id)
    return place


def _send(session: Session, old: Configuration, new: dict[str, Any] | None) -> _Trial:
    """Send it, and return what the board makes of it."""
    wish = "revert" if new is None else "push"
    with session.open("config", f"{wish}/{old.boot_id}") as exchange:
        exchange.send(b"" if new is None else body_of(new))
        data = b"".join(exchange.parts(session.settings.timeout))
        try:
            told = json.loads(data)
            refused, window = told.get("refused"), told.get("window_s", 0)
            unknown, unkept = ([str(one) for one in told.get(name) or ()] for name in _LISTS)
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise BoardError(f"The board's answer to config is not JSON: {data[:60]!r}") from error
        if refused:
            raise RefusedError(f"{session.prefix} keeps its configuration: {refused!s:.500}.")
        known = isinstance(window, (int, float)) and 0 <= window < 1e5
        return _Trial(
            exchange.ident,
            float(window) if known else 0.0,
            unknown,
            unkept,
            old.boot_id,
            _elsewhere(old.record, new),
        )


def _wait(
    session: Session,
    places: list[Session],
    trial: _Trial,
    news: queue.SimpleQueue[tuple[Session, Status]],
    report: Callable[[str], None],
) -> tuple[Session, Status]:
    """Wait until the board is in a new boot that tries nothing; return where, and its status."""
    report(TRY)
    limit = trial.window + _RESTARTS
    deadline = time.monotonic() + limit
    while True:
        try:
            place, status = news.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise _silence(session, trial, limit) from None
        if status.get("state") != mqwire.ONLINE or status.get("boot_id") == trial.boot_id:
            continue
        state = status.get("config")
        state = state if isinstance(state, dict) else {}
        if state.get("state") == "trial":
            _prove_key(place, status)
            continue
        if state.get("id") == trial.ident:
            raise WentBack(
                f"{session.prefix} is back with its old configuration. With the new one: "
                f"{state.get('reason')!s:.200}."
            )
        try:
            last = fetch(place).last
        except SilentBoardError:
            continue  # gone again
        if last == trial.ident:
            return place, status
        raise WentBack(
            f"{session.prefix} is back with its old configuration, and why is not known: it may "
            "have lost power in the very moment. Try again."
        )


def _prove_key(place: Session, status: Status) -> None:
    """Send the board a command: a new auth.key is confirmed only when somebody has shown it."""
    if "auth" in status:
        with suppress(RefusedError, BoardError, SilentBoardError):
            place.request("ping")


def _check_key(session: Session, new: dict[str, Any] | None) -> None:
    """Raise UsageError if the board would get an auth.key that we have not, and so cannot prove."""
    table = (new or {}).get("auth")
    key = table.get("key") if isinstance(table, dict) else None
    if isinstance(key, str) and not is_placeholder(key) and not session.has_key(key):
        raise UsageError(
            "This auth.key is none of those that mqboard has here, and with it the board would "
            "take nothing from you. Nothing was sent: set it as auth_key in mqboard.toml first, or "
            "in MQBOARD_AUTH_KEY, and mind the spelling."
        )


def _silence(session: Session, trial: _Trial, waited: float) -> SilentBoardError:
    look = command_line(session.prefix, "status")
    if trial.elsewhere:
        return SilentBoardError(
            f"{session.prefix} did not come back here within {waited:g} s. It has another broker "
            f"now, {trial.elsewhere}, where this tool is not: if it reached that one, it is there. "
            f"If not, it comes back here by itself; look with: {look}"
        )
    return SilentBoardError(
        f"{session.prefix} is silent for {waited:g} s. If it runs and has not reached its broker "
        f"in {trial.window:g} s with the new configuration, it has gone back to the old one by "
        f"itself and is trying that; without power it does so when power is back. Look with: {look}"
    )


def _elsewhere(old: dict[str, Any], new: dict[str, Any] | None) -> str:
    """Return the broker of `new` if it is another one than that of `old`, or ""."""
    if new is None:
        return ""
    there = _broker(new)
    return "" if there == _broker(old) else there


def _broker(record: dict[str, Any]) -> str:
    broker = record.get("broker") or {}
    usual = PLAIN_PORT if broker.get("tls") is False else TLS_PORT
    return f"{broker.get('host')}:{broker.get('port') or usual}"
