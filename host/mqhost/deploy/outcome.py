"""Waits until a board that switched to another application runs it, confirmed, or is back with the
one before; then says why it went back, with the traceback of the module if there is one.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import mqwire
from mqhost.errors import BoardError, RefusedError, SilentBoardError, ToolError
from mqhost.link.session import Session, Status
from mqhost.link.settings import command_line
from mqhost.manage.crash import show_crash
from mqwire import app, codes
from mqwire.config import MAX_TRIAL_S

RESTART, CONFIRM = "restart", "confirm"  # the stages
PATIENCE = 120.0  # seconds: with a board that is busy, not settled yet, or away
POLL = 1.0
RESTARTS = 120.0  # seconds for two restarts and connections: there, and back if it must

# What a person can do about the reason for which a board refuses an application.
_ADVICE = {
    codes.TOO_LARGE: "Make it smaller, or remove files from the board (mqboard rm).",
    codes.BUSY: "Try again when that is done.",
    codes.UNCONFIRMED: "Try again when it is.",
    codes.BAD_SIGNATURE: "Sign it with a key that the board knows: MQBOARD_SIGNING_KEY.",
    codes.UNKNOWN_KEY: "Sign it with a key that the board knows: MQBOARD_SIGNING_KEY.",
    codes.TOO_OLD: "Commit what is to run, which makes it newer, or set update.allow_downgrade in "
    "the board's configuration.",
    codes.FAILED_BEFORE: "Deploy a better one, or this one again with --retry-failed.",
}


class WentBack(BoardError):
    """Raised when the board tried an application and went back to the one before."""


def refused(
    prefix: str,
    told: Mapping[str, Any],
    advice: str = "Use the mqboard version that fits its firmware.",
) -> RefusedError:
    """Make the error of a board that says `refused` and `code` for an application. `advice`: what
    to do where the code says no more than that it did not like what was asked.
    """
    code = told.get("code")
    known = code if isinstance(code, int) else -1
    if known != codes.MALFORMED:
        advice = _ADVICE.get(known, "")
    text = f"{prefix} stays as it is: {told.get('refused')!s:.300}. {advice}"
    error = RefusedError(text.strip())
    error.code = known
    return error


def wait_confirmed(
    session: Session,
    ident: str,
    label: str,
    told: Mapping[str, Any],
    report: Callable[[str], None],
) -> Status:
    """Wait until the board's status says how the trial of the application `ident` ended: return it
    confirmed, or raise WentBack or SilentBoardError.

    `label` is its name and version, `told` what the board said as it switched: the seconds that the
    trial has, and the boot that it left. `report` is called with RESTART, then with CONFIRM.
    """
    report(RESTART)
    boot_id, window = told.get("boot_id"), told.get("window_s")
    known = isinstance(window, (int, float))
    limit = RESTARTS + max(0.0, min(float(window or 0) if known else MAX_TRIAL_S, MAX_TRIAL_S))
    deadline = time.monotonic() + limit
    seen = False

    def news(status: Status) -> bool:
        if status.get("state") != mqwire.ONLINE or status.get("boot_id") == boot_id:
            return False
        facts = facts_of(status)
        return facts.get("id") != ident or facts.get("state") != app.TRIAL or not seen

    while True:
        status = session.wait_status(news, max(0.0, deadline - time.monotonic()))
        if status is None:
            raise _unconfirmed(session, label, limit)
        facts = facts_of(status)
        if facts.get("id") != ident:
            raise _went_back(session, ident, label, facts)
        if facts.get("state") != app.TRIAL:
            if facts.get("state") == app.CONFIRMED:
                return status
            raise BoardError(
                f"{session.prefix} has {label}, but does not run it: it is "
                f"{facts.get('state')!s:.20}. {command_line(session.prefix, 'info')} tells more."
            )
        seen = True
        report(CONFIRM)


def facts_of(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a status says of the application; {} if nothing."""
    facts = status.get("app")
    return facts if isinstance(facts, dict) else {}


def label_of(facts: Mapping[str, Any] | None) -> str:
    """Return name and version of an application, of what a board says; "none" without one."""
    if not facts or "id" not in facts:
        return "none"
    return f"{facts.get('name')!s:.40} {facts.get('version')!s:.40}"


def _went_back(session: Session, ident: str, label: str, facts: Mapping[str, Any]) -> WentBack:
    """Make the error for a board that runs another application, which says `facts`."""
    there = label_of(facts)
    text = f"{session.prefix} is back with {there}" if "id" in facts else "No application runs"
    failed = facts.get("failed")
    if not isinstance(failed, dict) or failed.get("id") != ident:
        return WentBack(
            f"{text}, and why is not known: it may have lost power in the very moment. Try again."
        )
    found = _details(session, failed)
    return WentBack(f"{text}. {label} failed: {failed.get('reason')!s:.300}." + found)


def _details(session: Session, failed: Mapping[str, Any]) -> str:
    """Return the traceback of what it failed for, or what is known of the crash, on lines of its
    own; "" if nothing is.
    """
    try:
        if trace := session.request_json("apps", b"{}").get("trace"):
            return f"\n{trace!s:.2000}".rstrip()
        if failed.get("code") in (codes.WATCHDOG, codes.CRASH):
            crash = show_crash(session)
            lines = [crash.sentence + (f", while it ran: {crash.running}" if crash.running else "")]
            return "\n".join(["", *lines, crash.text("traceback")]).rstrip()
    except ToolError:  # that it went back is what matters
        pass
    return ""


def _unconfirmed(session: Session, label: str, waited: float) -> ToolError:
    if not session.connection.connected:
        return session.silence(waited)
    return SilentBoardError(
        f"{session.prefix} has switched to {label}, and is silent for {waited:g} s. If that does "
        "not prove good, it goes back to the one before by itself; without power it does so when "
        f"power is back. Look again with: {command_line(session.prefix, 'info')}"
    )
