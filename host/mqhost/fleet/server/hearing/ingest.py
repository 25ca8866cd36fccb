"""Takes what boards say by themselves into the database: lines of logs, crashes, and `sysinfo`.

Of several servers on one database one needs to hear each message. Where the broker speaks MQTT 5,
they share a subscription, and it deals the messages out; else all hear all, and each takes those of
its boards. Statuses are not shared: every server shows them, and what is retained is dealt to none.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from mqhost.errors import BrokerError
from mqhost.fleet.server.hearing.loglines import text_of
from mqhost.fleet.store.history import CRASH, History, Line, Sample
from mqhost.fleet.store.records import StoreError
from mqhost.link.answer import board_json
from mqhost.link.connection import Connection, Wide
from mqhost.link.roster import ALL, prefix_filters
from mqhost.link.settings import Settings
from mqwire import crash_topic, log_topic

_LOG, _CRASH, _SYSINFO = log_topic(""), crash_topic(""), "/sysinfo"
_FLUSH = 2.0  # seconds
_MOST = 20_000  # lines and samples that wait for the database
_LONGEST = 64 * 1024  # bytes of a message
_AGAIN = 10.0  # seconds after the broker refused

Heard = Callable[[str, dict[str, Any]], object]


class Ingest:
    """Takes what is said, while the `with` block runs. `mine` says whose boards are this server's,
    `known` whether a prefix is a board's; `heard` is told of what a board said in `sysinfo`.
    Servers with the same `group` share.
    """

    def __init__(
        self,
        settings: Settings,
        history: History,
        mine: Callable[[str], bool],
        known: Callable[[str], bool],
        heard: Heard,
        group: str,
    ) -> None:
        self._settings = settings
        self._history = history
        self._mine = mine
        self._known = known
        self._heard = heard
        self._group = group
        self._connection: Connection | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._lines: deque[Line] = deque()
        self._samples: deque[Sample] = deque()
        self._threads = [
            threading.Thread(target=self._connect, daemon=True),
            threading.Thread(target=self._write, daemon=True),
        ]
        self.shared = False  # whether the broker deals out
        self.dropped = 0  # lines and samples that were too many
        self.crashes = 0
        self.lines = 0

    def __enter__(self) -> "Ingest":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(15)
        if self._connection:
            self._connection.close()
        with suppress(StoreError):
            self._flush()

    def sample(self, one: Sample) -> None:
        """Take what was heard of a board in another way."""
        self._put(self._samples, one)

    @property
    def listening(self) -> bool:
        """Whether the broker tells us what boards say."""
        return self._connection is not None and self._connection.connected

    # In threads

    def _connect(self) -> None:
        """Listen, as soon as the broker lets us; it comes back by itself from then on."""
        while not self._over.is_set():
            for version5 in (True, False):
                connection = Connection(self._settings, version5=version5)
                try:
                    connection.connect()
                    self._listen(connection, shared=version5)
                except BrokerError:
                    connection.close()
                    continue
                self._connection, self.shared = connection, version5
                return
            self._over.wait(_AGAIN)

    def _listen(self, connection: Connection, shared: bool) -> None:
        prefixes = prefix_filters(ALL)
        filters = [prefix + end for end in (_LOG, _CRASH, _SYSINFO) for prefix in prefixes]
        if shared:
            filters = [f"$share/{self._group}/{one}" for one in filters]

        def hear(topic: str, payload: bytes, retained: bool) -> None:
            self._take(topic, payload, shared)

        connection.subscribe(Wide("what boards say", filters, hear))

    def _take(self, topic: str, payload: bytes, shared: bool) -> None:
        """Take a message, in the network thread."""
        end = next((end for end in (_LOG, _CRASH, _SYSINFO) if topic.endswith(end)), None)
        if end is None or len(payload) > _LONGEST:
            return
        prefix = topic.removesuffix(end)
        if not self._known(prefix) or not (shared or self._mine(prefix)):
            return
        now = time.time()
        if end == _SYSINFO:
            self._take_facts(prefix, payload, now)
            return
        if end == _CRASH:
            self.crashes += 1
            self._put(self._lines, Line(prefix, now, text_of(payload), CRASH))
        else:
            self.lines += 1
            self._put(self._lines, Line(prefix, now, text_of(payload)))

    def _take_facts(self, prefix: str, payload: bytes, now: float) -> None:
        try:
            said = board_json(payload)
        except (ValueError, RecursionError):
            return
        if isinstance(said, dict):
            self._heard(prefix, said)
            heap, rssi = said.get("heap_free"), said.get("rssi")
            self.sample(Sample(prefix, now, number(heap), number(rssi)))

    def _put(self, queue: "deque[Line] | deque[Sample]", one: Line | Sample) -> None:
        with self._lock:
            if len(queue) >= _MOST:
                queue.popleft()
                self.dropped += 1
            queue.append(one)  # type: ignore[arg-type]

    def _write(self) -> None:
        while not self._over.wait(_FLUSH):
            with suppress(StoreError):  # it waits
                self._flush()

    def _flush(self) -> None:
        """Write what waits; it stays where the database cannot be used."""
        with self._lock:
            lines, samples = list(self._lines), list(self._samples)
        self._history.write(lines)
        self._drop(self._lines, lines)
        self._history.add(samples)
        self._drop(self._samples, samples)

    def _drop(self, queue: "deque[Line] | deque[Sample]", written: Sequence[object]) -> None:
        """Take out what was written: what was too many is gone already."""
        done = set(map(id, written))
        with self._lock:
            while queue and id(queue[0]) in done:
                queue.popleft()


def number(value: object) -> int | None:
    """Return a number that a board said; None for what is none, or beyond all that can be."""
    return value if type(value) is int and abs(value) < 1 << 40 else None
