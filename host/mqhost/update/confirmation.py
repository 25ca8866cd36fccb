"""Waits until a board that starts another image has confirmed it, or is back with the old one.

Only the board's own status counts: the image that is expected, confirmed, or another one.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import mqwire
from mqhost.errors import SilentBoardError, ToolError
from mqhost.link import schema
from mqhost.link.session import Session, Status
from mqhost.link.settings import command_line
from mqhost.update.failures import rolled_back
from mqhost.update.transfer import CONFIRM, RESTART, differs
from mqwire.flash import CONFIRMED_STATES

CONFIRM_S = schema.key("update.confirm_s").default  # of a board that does not say
_RESTART_SECONDS = 60.0  # for two of them, and two connections: there, and back if it must


def time_to_confirm(info: Mapping[str, Any]) -> float:
    """Return the seconds until a board that says `info` has confirmed an update, or is back."""
    told: Any = info.get("confirm_s")
    number = isinstance(told, (int, float)) and not isinstance(told, bool)
    return (float(told) if number and 0 < told < 1e6 else CONFIRM_S) + _RESTART_SECONDS


def wait_confirmed(
    session: Session,
    image: str,
    version: str,
    boot_id: Any,
    timeout: float,
    report: Callable[[str], None],
) -> Status:
    """Wait until the board's status says how it ended: return it confirmed, or raise.

    `image` (SHA-256) is what the board was to start, `boot_id` the boot in which it was told so;
    `report` is called with RESTART, then with CONFIRM. Raises RolledBack or SilentBoardError.
    """
    report(RESTART)
    deadline = time.monotonic() + timeout
    seen = False

    def news(status: Status) -> bool:
        if status.get("state") != mqwire.ONLINE:
            return False
        if status.get("image") != image:
            return differs(status.get("boot_id"), boot_id)
        return status.get("slot_state") in CONFIRMED_STATES or not seen

    while True:
        status = session.wait_status(news, max(0.0, deadline - time.monotonic()))
        if status is None:
            raise _unconfirmed(session, image, timeout)
        if status.get("image") != image:
            raise rolled_back(image, version, status)
        if status.get("slot_state") in CONFIRMED_STATES:
            return status
        seen = True
        report(CONFIRM)


def _unconfirmed(session: Session, image: str, timeout: float) -> ToolError:
    """Make the error for a board that did not confirm in time, with what was last seen."""
    if not session.connection.connected:
        return session.silence(timeout)
    status = session.last_status or {}
    if status.get("state") != mqwire.ONLINE:
        seen = "it is offline. If it does not start, its bootloader goes back by itself"
    elif status.get("image") == image:
        seen = "it runs the new image and has not confirmed it yet"
    else:
        seen = "it has not restarted into the new image"
    return SilentBoardError(
        f"The image is installed, but {session.prefix} did not confirm it within {timeout:g} s: "
        f"{seen}. Look again with: {command_line(session.prefix, 'info')}"
    )
