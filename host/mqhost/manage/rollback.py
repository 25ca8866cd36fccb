"""Has a board boot the image in its other slot again, and stays until that one is confirmed."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from mqhost.errors import BoardError, RefusedError
from mqhost.link.session import Session
from mqhost.update.confirmation import time_to_confirm, wait_confirmed


@dataclass(frozen=True)
class Return:
    """What a board went back from and to, into which slot, and how many seconds it took."""

    old_version: str
    version: str
    image: str
    slot: str
    seconds: float


def roll_back(
    session: Session,
    force: bool = False,
    confirm_timeout: float | None = None,
    report: Callable[[str], None] = lambda stage: None,
) -> Return:
    """Have the board of `session` try the image in its other slot, and wait until it is confirmed.

    `force`: even one that is older than what was confirmed since, if the board's configuration
    allows it. Raises RefusedError with what the board says against it; RolledBack when the image
    does not prove good again and the board is back with what it runs now.
    """
    start = time.monotonic()
    before = session.request_json("info")
    session.hold_to(before.get("id"))
    answer = session.request_json("rollback", json.dumps({"force": force}).encode())
    if why := answer.get("refused"):
        raise RefusedError(f"{session.prefix} stays as it is: {why!s:.300}.")
    image, version = answer.get("image"), answer.get("version")
    if not isinstance(image, str) or not isinstance(version, str):
        raise BoardError(f"{session.prefix} does not say what it goes back to: {answer!r:.100}")
    timeout = confirm_timeout or time_to_confirm(before)
    status = wait_confirmed(session, image, version, before.get("boot_id"), timeout, report)
    return Return(
        old_version=str(before.get("version")),
        version=str(status.get("version")),
        image=image,
        slot=str(status.get("slot")),
        seconds=time.monotonic() - start,
    )
