"""Waits for boards that are asleep, however many: leaves the note that somebody waits at each of
them, and says which one has woken, and which one has not when it should have.

One listener and one thread are enough for all of them. Each board's note goes when its work is
done, so that it sleeps again while others are still waited for.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping

import mqwire
from mqhost.fleet.presence import Presence
from mqhost.link.connection import Connection
from mqhost.link.roster import FEW, Roster, depths_of
from mqhost.link.sleeper import AGAIN_S, Note, longest_sleep, wakes_within


class Sleepers:
    """The boards of `asleep`, by prefix, waited for over `connection` while the `with` block runs.

    `woken(prefix)` is called once for each that wakes, in the network thread, and `dropped(prefix)`
    for each that is not waited for any more, by `interrupt`; neither is to wait. `waited` says for
    how many seconds each was waited for that has woken, `missed` who has not.
    """

    def __init__(self, connection: Connection, asleep: Mapping[str, Presence]) -> None:
        self.woken: Callable[[str], object] = lambda prefix: None
        self.dropped: Callable[[str], object] = lambda prefix: None
        self.waited: dict[str, float] = {}
        self.missed: list[str] = []
        self._asleep = asleep
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._start = now = time.monotonic()
        # Until when each is waited for that has not woken.
        self._limits = {prefix: now + wakes_within(one.status) for prefix, one in asleep.items()}
        self._notes = {
            prefix: Note(connection, prefix, longest_sleep(one.status), {})
            for prefix, one in asleep.items()
        }
        patterns = list(asleep) if len(asleep) <= FEW else depths_of(asleep)
        self._roster = Roster(connection, patterns, self._hear)
        self._thread = threading.Thread(target=self._renew, name="notes", daemon=True)

    def __enter__(self) -> "Sleepers":
        self._roster.__enter__()  # the only one that can fail
        for note in self._notes.values():
            note.leave(alone=True)
        self._thread.start()
        return self

    def __contains__(self, prefix: str) -> bool:
        """Return whether the board at `prefix` was asleep."""
        return prefix in self._asleep

    def __exit__(self, *_: object) -> None:
        self.give_up()
        self._over.set()
        self._thread.join()
        self._roster.__exit__()
        self.release(list(self._notes))

    @property
    def patience(self) -> float | None:
        """For how many seconds nobody is late; None where nobody sleeps any more."""
        with self._lock:
            limits = list(self._limits.values())
        return max(0.0, min(limits) - time.monotonic()) if limits else None

    @property
    def longest(self) -> float:
        """For how many seconds from the start the last one of them is waited for."""
        with self._lock:
            return max(self._limits.values(), default=self._start) - self._start

    def late(self) -> list[str]:
        """Return those that have not woken when they should have: they are given up."""
        with self._lock:
            now = time.monotonic()
            found = [prefix for prefix, limit in self._limits.items() if limit <= now]
            for prefix in found:
                del self._limits[prefix]
        self.missed += found
        self.release(found)
        return found

    def give_up(self) -> int:
        """Wait for nobody any more; return how many have not woken."""
        with self._lock:
            left = len(self._limits)
            self._limits.clear()
        return left

    def interrupt(self) -> None:
        """Wait for nobody any more, and tell of each: somebody has asked for that."""
        with self._lock:
            for prefix in self._limits:
                self.dropped(prefix)
            self._limits.clear()

    def release(self, prefixes: Iterable[str]) -> None:
        """Take the notes for the boards at `prefixes` away, as far as there are any."""
        for prefix in prefixes:
            with self._lock:
                note = self._notes.pop(prefix, None)
            if note:
                note.take_away()

    def _hear(self, prefix: str) -> None:
        sighting = self._roster.sighting(prefix)
        if sighting is None or sighting.status.get("state") != mqwire.ONLINE:
            return
        with self._lock:
            if self._limits.pop(prefix, None) is None:
                return
            self.waited[prefix] = time.monotonic() - self._start
            self.woken(prefix)

    def _renew(self) -> None:
        while not self._over.wait(AGAIN_S):
            with self._lock:
                notes = list(self._notes.values())
            for note in notes:
                note.renew()
