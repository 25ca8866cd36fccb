"""Slows down who guesses passwords: after a few wrong ones, a name and an address have to wait."""

import threading
import time
from collections.abc import Callable

_FREE_BY_NAME, _FREE_BY_ADDRESS = 5, 20
_FIRST, _LONGEST = 2.0, 300.0  # seconds to wait, doubled by each wrong one
_FORGOTTEN = 3600.0
_MOST = 10_000  # names and addresses that are remembered


class Attempts:
    """The wrong passwords of the last hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: dict[str, tuple[int, float]] = {}  # how many, and when the last one was

    def wait(self, name: str, address: str) -> float:
        """Return how many seconds to wait before another password is looked at."""
        with self._lock:
            return max(
                self._left(f"name {name}", _FREE_BY_NAME),
                self._left(f"address {address}", _FREE_BY_ADDRESS),
            )

    def wrong(self, name: str, address: str) -> None:
        """Note a wrong password."""
        now = self._clock()
        with self._lock:
            if len(self._wrong) >= _MOST:
                self._forget(now)
            for key in (f"name {name}", f"address {address}"):
                count, at = self._wrong.pop(key, (0, now))
                self._wrong[key] = (1 if now - at > _FORGOTTEN else count + 1, now)

    def right(self, name: str) -> None:
        """Forget what was wrong with a name: it was its owner."""
        with self._lock:
            self._wrong.pop(f"name {name}", None)

    def _left(self, key: str, free: int) -> float:
        count, at = self._wrong.get(key, (0, 0.0))
        if count < free or self._clock() - at > _FORGOTTEN:
            return 0.0
        pause = min(_LONGEST, _FIRST * 2.0 ** min(count - free, 10))
        return max(0.0, at + pause - self._clock())

    def _forget(self, now: float) -> None:
        """Make room: what is old goes, or else the oldest half."""
        kept = {key: one for key, one in self._wrong.items() if now - one[1] <= _FORGOTTEN}
        if len(kept) >= _MOST:
            kept = dict(list(kept.items())[_MOST // 2 :])
        self._wrong = kept
