"""Holds what the store gives and raises; to handle that, nothing of the database is loaded."""

from dataclasses import dataclass

from mqhost.errors import ToolError


class StoreError(ToolError):
    """The database cannot be used."""


class StaleError(Exception):
    """The rollout was changed since it was read: read it again."""


class LeaseLost(Exception):
    """Somebody else drives the rollout now."""


@dataclass(frozen=True)
class Entry:
    """At the Unix time `at`, `who` (a user, or a driver) did `what`; `board` is a prefix."""

    at: float
    who: str
    what: str
    rollout_id: int | None
    board: str | None
    result: str
