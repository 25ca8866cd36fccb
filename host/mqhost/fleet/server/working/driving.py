"""Drives the rollouts of the broker's boards, each in a thread and over a connection of its own,
and tells of what changes in them, also where another server or command line drives.

With several servers on one database the lease decides: the others wait, and take over.
"""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mqhost.errors import ToolError
from mqhost.fleet.cast.pusher import Cast
from mqhost.fleet.rollout.control import is_open
from mqhost.fleet.rollout.drive import Driver, Pusher
from mqhost.fleet.rollout.field import Report
from mqhost.fleet.rollout.running import broker_name, drive_rollout
from mqhost.fleet.rollout.states import PAUSED, SENDING, SETTLING, STOPPED, Rollout
from mqhost.fleet.server.changes import ROLLOUT, Changes
from mqhost.fleet.store.records import StoreError
from mqhost.fleet.store.store import Store
from mqhost.link.connection import Connection
from mqhost.link.settings import Settings
from mqhost.update.push import UpdateResult

_LOOK = 2.0  # seconds
_AGAIN = 10.0  # seconds after a driver could not begin
_MOST = 16  # rollouts that are driven at a time
Counts = dict[str, int]
Progress = tuple[str, int, int]  # stage, done, total


@dataclass
class _Driven:
    """A rollout that is driven here, or waited for."""

    stop: threading.Event = field(default_factory=threading.Event)
    news: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    drives: bool = False
    progress: dict[str, Progress] = field(default_factory=dict)
    trouble: str = ""

    def end(self) -> None:
        self.stop.set()
        self.news.set()


class Driving:
    """Drives what is to be driven in `store`, while the `with` block runs. `bytes_sent` counts what
    its updates took, and `updates` those.
    """

    def __init__(self, settings: Settings, store: Store, changes: Changes) -> None:
        self._settings = settings
        self._store = store
        self._changes = changes
        self._broker = broker_name(settings)
        self._lock = threading.Lock()
        self._driven: dict[int, _Driven] = {}
        self._not_before: dict[int, float] = {}
        self._known: dict[int, Any] = {}
        self._over = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.bytes_sent = 0
        self.updates = 0

    def __enter__(self) -> "Driving":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._news.set()
        self._thread.join(10)
        with self._lock:
            driven = list(self._driven.values())
        for one in driven:
            one.end()
        for one in driven:
            if one.thread:
                one.thread.join(10)

    def wake(self, number: int) -> None:
        """Look at a rollout now: somebody has changed it."""
        with self._lock:
            one = self._driven.get(number)
        if one:
            one.news.set()
        self._news.set()
        self._changes.tell(ROLLOUT, str(number))

    def progress(self, number: int) -> dict[str, Progress]:
        """Return how far the boards are that are sent to from here, by prefix."""
        with self._lock:
            one = self._driven.get(number)
            return dict(one.progress) if one else {}

    def drives(self, number: int) -> bool:
        """Return whether this server drives it."""
        with self._lock:
            return number in self._driven and self._driven[number].drives

    def trouble(self, number: int) -> str:
        """Return why this server cannot drive it at the moment; "" if it can."""
        with self._lock:
            return self._driven[number].trouble if number in self._driven else ""

    # In threads

    def _run(self) -> None:
        while not self._over.is_set():
            self._news.clear()
            with suppress(StoreError):  # it is tried again
                self._look()
            self._news.wait(_LOOK)

    def _look(self) -> None:
        """Begin to drive what needs it, end what does not, and tell what has changed."""
        rollouts, counts = self._store.rollouts(self._broker), self._store.counts()
        for rollout in rollouts:
            seen = (rollout, counts.get(rollout.id))
            if self._known.get(rollout.id) != seen:
                self._known[rollout.id] = seen
                self._changes.tell(ROLLOUT, str(rollout.id))
        wanted = {one.id for one in rollouts if _needs_driver(one, counts.get(one.id, {}))}
        with self._lock:
            for number, one in self._driven.items():
                if number not in wanted:
                    one.end()
            free = _MOST - len(self._driven)
            begun = [
                number
                for number in sorted(wanted - self._driven.keys())
                if self._not_before.get(number, 0.0) <= time.monotonic()
            ][: max(0, free)]
            for number in begun:
                made = _Driven()
                made.thread = threading.Thread(target=self._drive, args=(number, made), daemon=True)
                self._driven[number] = made
                made.thread.start()

    def _drive(self, number: int, one: _Driven) -> None:
        """Drive a rollout until it is over, or nobody wants that any more."""

        def after(driver: Driver) -> None:
            if driver.drives != one.drives:
                self._changes.tell(ROLLOUT, str(number))
            one.drives, one.trouble = driver.drives, ""
            if not driver.drives:
                one.progress.clear()
            elif driver.known:
                for prefix in list(one.progress):
                    if driver.known[1][prefix].state != SENDING:
                        del one.progress[prefix]

        def report(prefix: str, stage: str, done: int, total: int) -> None:
            one.progress[prefix] = (stage, done, total)
            self._changes.tell(ROLLOUT, str(number))

        def trouble(error: StoreError) -> None:
            one.trouble = str(error)

        try:
            drive_rollout(
                self._store,
                number,
                self._settings,
                stop=one.stop,
                news=one.news,
                after=after,
                report=report,
                trouble=trouble,
                make_pusher=self._make_pusher,
            )
        except ToolError as error:
            one.trouble = str(error)
            self._not_before[number] = time.monotonic() + _AGAIN
        finally:
            with self._lock:
                self._driven.pop(number, None)
            self._changes.tell(ROLLOUT, str(number))
            self._news.set()

    def _make_pusher(self, settings: Settings, connection: Connection, report: Report) -> Pusher:
        return Cast(settings, connection, report, pushed=self._pushed)

    def _pushed(self, prefix: str, result: UpdateResult) -> None:
        with self._lock:
            self.bytes_sent += result.bytes_sent
            self.updates += not result.already


def _needs_driver(rollout: Rollout, counts: Counts) -> bool:
    """Return whether something may happen in it by itself."""
    under_way = counts.get(SENDING, 0) + counts.get(SETTLING, 0)
    rests = rollout.state in (PAUSED, STOPPED) and not under_way
    return is_open(rollout, counts) and not rests
