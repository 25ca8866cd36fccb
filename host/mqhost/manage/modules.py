"""Asks a board for its modules, and enables, disables or restarts one: the command `modules`."""

import json
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from mqhost.errors import BoardError, UsageError
from mqhost.link.session import Session

ENABLE, DISABLE, RESTART = "enable", "disable", "restart"

SAFE = "safe"  # the mode in which no module runs


@dataclass(frozen=True)
class Module:
    """A module as its board describes it. `state`: running, waiting (to be started again), failed
    (it could not be started, and waits), ended, disabled, stopped (in safe mode); `disabled` says
    why. `since` and `again` are in seconds: in this state, and until it is started again.
    """

    name: str
    state: str
    restarts: int
    crashes: int
    file: str
    error: str
    disabled: str
    since: int | None
    again: int | None

    @classmethod
    def of(cls, record: Any) -> "Module":
        """Make it from what a board says, whatever that is."""
        facts = record if isinstance(record, dict) else {}

        def text(key: str) -> str:
            value = facts.get(key)
            return "" if value is None else str(value)

        def number(key: str) -> int | None:
            value = facts.get(key)
            return value if isinstance(value, int) and not isinstance(value, bool) else None

        return cls(
            text("name"),
            text("state"),
            number("restarts") or 0,
            number("crashes") or 0,
            text("file"),
            text("error"),
            text("disabled"),
            number("since_s"),
            number("again_s"),
        )


@dataclass(frozen=True)
class Modules:
    """All modules of a board's configuration, its mode, and the `record` they were made from."""

    mode: str
    modules: tuple[Module, ...]
    record: dict[str, Any]


def list_modules(session: Session) -> Modules:
    """Ask the board for its modules."""
    record = session.request_json("modules", b"list")
    listed = record.get("modules")
    if not isinstance(listed, list):
        raise BoardError(f"The board's answer to modules has no list: {json.dumps(record)[:60]}")
    return Modules(str(record.get("mode")), tuple(map(Module.of, listed)), record)


def change(session: Session, action: str, name: str) -> dict[str, Any]:
    """Enable, disable or restart the module `name`; return what the board says of it then.

    UsageError when there is no such module; BoardError when it could not be done.
    """
    names = [module.name for module in list_modules(session).modules]
    if name not in names:
        raise UsageError(_unknown(session.prefix, name, names))
    return session.request_json("modules", f"{action} {name}".encode())


def disabled_text(said: Any) -> str:
    """Write out what a status says under `disabled`: names, and why each of them is."""
    if isinstance(said, dict):
        return ", ".join(f"{name} ({why})" for name, why in sorted(said.items()))
    return ", ".join(map(str, said)) if isinstance(said, list) else str(said)


def _unknown(prefix: str, name: str, names: list[str]) -> str:
    text = f"{prefix} has no module {name}"
    if not names:
        return f"{text}: its configuration names none."
    close = get_close_matches(name, names, 1)
    meant = f"Did you mean {close[0]}? " if close else ""
    return f"{text}. {meant}It has {', '.join(names)}."
