"""Keeps what a board has printed, bounded, for tests to search."""

import threading
from collections.abc import Callable

_KEPT = 1024 * 1024


class Console:
    """Collects a board's output. `changed` is notified and `listener` called with each piece.

    Positions count the bytes printed since the beginning, carriage returns left out.
    """

    def __init__(self, changed: threading.Condition, listener: Callable[[bytes], None] | None):
        self._changed = changed
        self._listener = listener
        self._kept = bytearray()
        self._dropped = 0

    @property
    def position(self) -> int:
        """How much was printed until now."""
        with self._changed:
            return self._dropped + len(self._kept)

    def feed(self, data: bytes) -> None:
        """Take what the board printed."""
        if not data:
            return
        with self._changed:
            self._kept += data.replace(b"\r", b"")
            excess = max(0, len(self._kept) - _KEPT)
            del self._kept[:excess]
            self._dropped += excess
            self._changed.notify_all()
        if self._listener:
            self._listener(data)

    def text(self, since: int = 0) -> str:
        """Return what was printed from position `since` on, as far as it is kept."""
        with self._changed:
            return self._kept[max(0, since - self._dropped) :].decode(errors="replace")

    def find(self, text: str, since: int = 0) -> int:
        """Return the position right behind the first `text` from `since` on, or -1."""
        wanted = text.encode()
        with self._changed:
            found = self._kept.find(wanted, max(0, since - self._dropped))
            return -1 if found < 0 else self._dropped + found + len(wanted)

    def find_line(self, matches: Callable[[str], object], since: int = 0) -> tuple[str, int] | None:
        """Return the first whole line from `since` on that `matches`, and the position behind it;
        None if there is none.
        """
        with self._changed:
            end = max(0, since - self._dropped)
            while (after := self._kept.find(b"\n", end) + 1) > 0:
                line = self._kept[end : after - 1].decode(errors="replace")
                if matches(line):
                    return line, self._dropped + after
                end = after
        return None

    def tail(self, lines: int = 15) -> str:
        """Return the last lines."""
        return "\n".join(self.text().splitlines()[-lines:])
