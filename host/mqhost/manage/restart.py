"""Restarts a board into the mode that is wished for, and stays until it is back and says how."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import mqwire
from mqhost.errors import BoardError, RefusedError, SilentBoardError
from mqhost.link.session import Session, Status
from mqhost.link.settings import command_line

AS_IS, NORMAL, SAFE, BOOTLOADER = "", "normal", "safe", "bootloader"
WAIT = 120.0  # seconds until a board must be back; one that looks for its network takes its time


@dataclass(frozen=True)
class Restarted:
    """How a board came back: its status, and how many seconds it took."""

    status: Status
    seconds: float


def restart(session: Session, mode: str = AS_IS, wait: float = WAIT) -> Restarted:
    """Reset the board into `mode` (not BOOTLOADER) and wait up to `wait` seconds until it is back.

    AS_IS: into the one that was asked for last. Raises SilentBoardError if it does not come back,
    BoardError if it comes back in another mode, RefusedError if its firmware does not know modes.
    """
    before = [_prepare(session, mode), (session.last_status or {}).get("boot_id")]
    start = time.monotonic()
    session.request("reset", mode.encode())
    status = wait_back(session, before, wait)
    if mode and status.get("mode") != mode:
        raise BoardError(
            f"{session.prefix} is back in {status.get('mode')!s:.20} mode, not in {mode} mode; "
            f"{_image(status)}. Its log tells more."
        )
    return Restarted(status, time.monotonic() - start)


def enter_bootloader(session: Session) -> None:
    """Have the chip start its bootloader, which waits for firmware over USB."""
    _prepare(session, BOOTLOADER)
    session.request("reset", BOOTLOADER.encode())


def wait_back(session: Session, known: Collection[Any], wait: float) -> Status:
    """Wait until the board of `session` is in a boot that is not `known`; return its status."""

    def news(status: Status) -> bool:
        return status.get("state") == mqwire.ONLINE and status.get("boot_id") not in known

    status = session.wait_status(news, wait)
    if status is None:
        raise SilentBoardError(
            f"{session.prefix} was told to restart and has not come back within {wait:g} s. Look "
            f"again with: {command_line(session.prefix, 'status')}"
        )
    return status


def _prepare(session: Session, mode: str) -> Any:
    """Return the id of the board's boot, once it is clear which board that is, and that it knows
    `mode`.
    """
    try:
        info = session.request_json("info")
    except BoardError:  # a plain reset needs less memory than any other answer
        info = session.status() or {}
        if mode or not info:
            raise
    if mode and "id" not in info:
        raise RefusedError(
            f"The firmware of {session.prefix} ({_image(info)}) knows no modes; nothing was sent. "
            f"Restart it as it is with {command_line(session.prefix, 'reset')}, or update it."
        )
    if info.get("slot_state") == "pending":
        raise RefusedError(
            f"{session.prefix} has not confirmed the firmware that it runs, {_image(info)}: with a "
            "restart it would go back to the one before. Nothing was sent; try again when it has."
        )
    tried = [what for what in ("config", "app") if _on_trial(info.get(what))]
    if tried:
        what = "configuration" if tried[0] == "config" else "application"
        raise RefusedError(
            f"{session.prefix} has not confirmed its new {what} yet: with a restart it would go "
            "back to the one before. Nothing was sent; try again when it has."
        )
    session.hold_to(info.get("id"))
    return info.get("boot_id")


def _on_trial(said: Any) -> bool:
    return isinstance(said, dict) and said.get("state") == "trial"


def _image(status: Status) -> str:
    return f"version {status.get('version')!s:.60}, {status.get('slot_state')!s:.20}"
