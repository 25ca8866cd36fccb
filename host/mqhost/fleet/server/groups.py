"""Knows the groups of mqboard.toml: which boards are in one. The file may change while we run."""

import threading
import time
from collections.abc import Callable, Mapping

from mqhost.errors import UsageError

Patterns = tuple[str, ...]
_FRESH = 5.0  # seconds in which it is not read again


class Groups:
    """The groups that `read` gives: the patterns of each by its name; raises UsageError."""

    def __init__(self, read: Callable[[], Mapping[str, Patterns]] = dict) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._known: Mapping[str, Patterns] = {}
        self._until = 0.0

    def all(self) -> Mapping[str, Patterns]:
        """Return the patterns of each group by its name; UsageError if they cannot be read."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._known = self._read()
                self._until = time.monotonic() + _FRESH
            return self._known

    def names(self) -> list[str]:
        """Return the names of the groups; none, if they cannot be read."""
        try:
            return sorted(self.all())
        except UsageError:
            return []

    def patterns(self, name: str) -> Patterns:
        """Return the patterns of a group; UsageError if there is none of that name."""
        known = self.all()
        if name in known:
            return known[name]
        there = ", ".join(sorted(known)) or "none"
        raise UsageError(
            f"There is no group {name!r:.60} of boards at this broker; in mqboard.toml there is: "
            f"{there:.300}."
        )
