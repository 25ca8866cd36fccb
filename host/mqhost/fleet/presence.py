"""Tells which boards there are, and how they are: from statuses to what a person wants to know.

All of it is what a board, or its will at the broker, last said. A will has no time: when a board
vanished, only who listened at that moment can tell.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import mqwire
from mqhost.link.roster import Sighting, told_time
from mqhost.manage.configuration import state_text
from mqhost.manage.modules import disabled_text


@dataclass(frozen=True)
class Presence:
    """How the board at `prefix` is by its last status. `since`: Unix time of that, None: unknown.

    `remarks` are what somebody should look into, in words.
    """

    prefix: str
    online: bool
    since: float | None
    status: dict[str, Any]
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, prefix: str, sighting: Sighting) -> "Presence":
        """Make it from what was last said at `prefix`."""
        status = sighting.status
        since = told_time(status) or sighting.heard_at
        online = status.get("state") == mqwire.ONLINE
        return cls(prefix, online, since, status, tuple(_remarks(status, online)))

    def fact(self, key: str) -> str:
        """Return what the status says under `key`, as text; "" for nothing."""
        value = self.status.get(key)
        return "" if value is None else str(value)

    def record(self) -> dict[str, Any]:
        """Return it for scripts: the status as it came, with prefix and time."""
        since = self.since and datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds")
        return self.status | {"prefix": self.prefix, "since": since}


def _remarks(status: dict[str, Any], online: bool) -> list[str]:
    """Say what is out of the ordinary."""
    remarks = []
    if not online:
        remarks.append(str(status.get("reason", "no reason known")))
    if twin := status.get("twin"):
        remarks.append(f"board {twin} has the same prefix")
    if crashes := status.get("crashes"):
        remarks.append(f"crashes to look at: {crashes}")
    failed = status.get("failed")
    if isinstance(failed, dict):
        remarks.append(f"went back from {failed.get('version')}: {failed.get('reason')}")
    if config := state_text(status.get("config")):
        remarks.append(f"configuration: {config}")
    if status.get("storage") not in (None, "ok"):
        remarks.append(f"storage: {status['storage']}")
    if disabled := status.get("disabled"):
        remarks.append(f"modules disabled: {disabled_text(disabled)}")
    return remarks
