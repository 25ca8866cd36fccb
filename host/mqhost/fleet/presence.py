"""Tells which boards there are, and how they are: from statuses to what a person wants to know.

All of it is what a board, or its will at the broker, last said. A will has no time: when a board
vanished, only who listened at that moment can tell.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import mqwire
from mqhost.link.roster import Sighting, asleep_text, is_asleep, told_time
from mqhost.manage.configuration import state_text
from mqhost.manage.modules import disabled_text

_MOST = 4096  # characters of a status, as JSON, in a list of many; ours have about 1,000
_LONGEST = 400  # characters of a text in one that has more
_DEEPEST = 4


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

    @property
    def asleep(self) -> bool:
        """Whether it sleeps, and is to wake by itself; one that is overdue does not."""
        return is_asleep(self.status)

    @property
    def state(self) -> str:
        """How it is, in a word: online, asleep or offline."""
        return mqwire.ONLINE if self.online else mqwire.ASLEEP if self.asleep else mqwire.OFFLINE

    def fact(self, key: str) -> str:
        """Return what the status says under `key`, as text; "" for nothing."""
        value = self.status.get(key)
        return "" if value is None else str(value)

    def record(self, whole: bool = True) -> dict[str, Any]:
        """Return it for scripts: the status as it came, with prefix and time. What no board of ours
        says is cut if it is not to be `whole`, and the record has "cut" then.
        """
        since = self.since and datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds")
        status = self.status if whole else self._bounded
        return status | {"prefix": self.prefix, "since": since}

    @cached_property
    def _bounded(self) -> dict[str, Any]:
        try:
            if len(json.dumps(self.status)) <= _MOST:
                return self.status
        except (ValueError, RecursionError):
            pass
        return _Cut(_MOST).cut(self.status) | {"cut": True}


class _Cut:
    """Takes of a status what fits into so many characters, about."""

    def __init__(self, left: int) -> None:
        self._left = left

    def cut(self, value: Any, depth: int = 0) -> Any:
        """Return what fits of `value`."""
        if isinstance(value, str):
            self._left -= min(len(value), _LONGEST)
            return value if len(value) <= _LONGEST else value[:_LONGEST] + "…"
        if isinstance(value, int):
            self._left -= value.bit_length() // 3 + 1
            return value if self._left > 0 else None
        if not isinstance(value, (dict, list)):
            return value
        if depth == _DEEPEST:
            return None
        if isinstance(value, list):
            return [self.cut(one, depth + 1) for one in value if self._room()]
        return {
            self.cut(key): self.cut(one, depth + 1) for key, one in value.items() if self._room()
        }

    def _room(self) -> bool:
        self._left -= 4
        return self._left > 0


def _remarks(status: dict[str, Any], online: bool) -> list[str]:
    """Say what is out of the ordinary."""
    remarks = []
    if status.get("state") == mqwire.ASLEEP:
        remarks.append(asleep_text(status))
        power = status.get("power")
        if isinstance(power, dict) and power.get("empty") is True:
            remarks.append(f"its battery is empty: {power.get('volts')!s:.10} V")
    elif not online:
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
