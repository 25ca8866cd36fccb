"""Keeps a board awake that sleeps between two wakes: by the note that somebody waits for it.

The note is no command (docs/protocol.md): nothing is done at a later wake for whoever has gone. It
is published again and again, with a time soon after the next wake at which it lapses: one that a
killed tool leaves behind costs the board's battery a minute or two.
"""

import contextlib
import json
import os
import socket
import threading
import time
from typing import Any

import mqwire
from mqhost.link.connection import Connection, Subscription
from mqhost.link.roster import Status, wakes_at
from mqwire import waiting

AGAIN_S = 20.0  # a board waits for three times as long
_LAPSES_S = 120.0  # after its next wake
_USUAL_S = 3600.0  # of sleep, where a board does not say
_FLUSH_S = 2.0
_LATE_S = 60.0  # so late may a board wake


class Note:
    """The note for the board at `prefix`, which sleeps for `sleeps_s` seconds at a time. `what` is
    of the image that waits for it, if one does.
    """

    def __init__(
        self, connection: Connection, prefix: str, sleeps_s: float, what: dict[str, Any]
    ) -> None:
        self._connection = connection
        self._topic = waiting.topic(prefix)
        self._lasts = sleeps_s + _LAPSES_S
        self._by = f"mqboard, process {os.getpid()} on {socket.gethostname()[:80]}"
        self._what = what
        self._there = b""
        self._lock = threading.Lock()  # nothing is published behind its end
        self._over = threading.Event()
        self._subscription = Subscription({self._topic: self._hear})
        self._thread = threading.Thread(target=self._run, name="note", daemon=True)

    def leave(self, alone: bool = False) -> "Note":
        """Publish it, and go on with that; not if it is left `alone`: then `renew` has to."""
        self._connection.register(self._subscription)
        self.renew()
        if not alone:
            self._thread.start()
        return self

    def renew(self) -> None:
        """Publish it once more, with another time at which it lapses."""
        until = {"until": int(time.time() + self._lasts), "by": self._by}
        text = json.dumps(self._what | until, separators=(",", ":"))
        with self._lock:
            if not self._over.is_set():
                self._connection.publish(self._topic, text.encode(), retain=True)

    def take_away(self) -> None:
        """Take it away, if nobody else's is in its place."""
        with self._lock:
            self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._connection.unsubscribe(self._subscription)
        if not self._there or self._is_mine(self._there):
            message = self._connection.publish(self._topic, b"", retain=True)
            with contextlib.suppress(RuntimeError, ValueError):  # it lapses
                message.wait_for_publish(_FLUSH_S)

    def _run(self) -> None:
        while not self._over.wait(AGAIN_S):
            self.renew()

    def _is_mine(self, payload: bytes) -> bool:
        with contextlib.suppress(ValueError, RecursionError):
            note = json.loads(payload)
            return isinstance(note, dict) and note.get("by") == self._by
        return False

    def _hear(self, payload: bytes, retained: bool) -> None:
        self._there = payload


def sleeps(status: Status | None) -> bool:
    """Return whether a board sleeps between two wakes, by its status."""
    status = status or {}
    return status.get("state") == mqwire.ASLEEP or isinstance(status.get("power"), dict)


def longest_sleep(status: Status | None) -> float:
    """Return for how many seconds at a time it sleeps, by its status."""
    status = status or {}
    power = status.get("power")
    said = power.get("period_s") if isinstance(power, dict) else status.get("sleeps_s")
    known = isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < 1e7
    return float(said) if known else _USUAL_S  # type: ignore[arg-type]


def wakes_within(status: Status | None) -> float:
    """Return for how many seconds a board that is asleep by its status is waited for."""
    sleeps_s = longest_sleep(status)
    due = wakes_at(status or {}) or time.time() + sleeps_s
    return max(0.0, min(due - time.time(), sleeps_s)) + _LATE_S
