"""Asks boards for their facts every few minutes, for the history, at a bounded rate: with many
boards the time between two questions grows, and not the number of questions.
"""

import queue
import threading
import time
from contextlib import suppress

from mqhost.errors import ToolError
from mqhost.fleet.server.asking import Asking
from mqhost.fleet.server.hearing.live import Facts, Live
from mqhost.fleet.store.history import History
from mqhost.fleet.store.records import StoreError
from mqhost.fleet.store.servers import Servers

EVERY = 300.0  # seconds between two questions to a board
RATE = 10.0  # questions a second, all boards together
_THREADS = 8  # so many boards that are silent may be waited for
_SIGN = 10.0  # seconds between two signs of life
_LATER = 1.0  # seconds, the shortest round
_LOOK = 60.0  # seconds between two looks at what other servers have heard
_PRUNE = 3600.0


class Sampler:
    """Asks, while the `with` block runs; what was heard gets into the history by `asking`."""

    def __init__(
        self,
        live: Live,
        asking: Asking,
        servers: Servers,
        history: History,
        every: float = EVERY,
        rate: float = RATE,
    ) -> None:
        self._live = live
        self._asking = asking
        self._servers = servers
        self._history = history
        self._every = every
        self._rate = rate
        self._over = threading.Event()
        self._todo: queue.Queue[str | None] = queue.Queue(_THREADS)
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(_THREADS)]
        self._threads.append(threading.Thread(target=self._run, daemon=True))
        self._threads.append(threading.Thread(target=self._tend, daemon=True))
        self.asked = 0
        self.silent = 0

    def __enter__(self) -> "Sampler":
        with suppress(StoreError):
            self._servers.sign()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with suppress(queue.Full):
            for _thread in self._threads:
                self._todo.put_nowait(None)
        with suppress(StoreError):
            self._servers.leave()

    def _run(self) -> None:
        """Go through the boards of this server, again and again, evenly; the first time as fast as
        may be.
        """
        every = 0.0
        while not self._over.is_set():
            start = time.monotonic()
            chosen = [board.prefix for board in self._live.boards() if board.online]
            chosen = [prefix for prefix in chosen if self._servers.mine(prefix)]
            round_ = max(every, len(chosen) / self._rate)
            every = self._every if chosen else 0.0
            for place, prefix in enumerate(chosen):
                due = start + round_ * (place + 0.5) / len(chosen)
                if self._over.wait(max(0.0, due - time.monotonic())):
                    return
                if not self._heard_lately(prefix):
                    self._todo.put(prefix)
            round_ = max(round_, _LATER)
            if self._over.wait(max(0.0, start + round_ - time.monotonic())):
                return

    def _heard_lately(self, prefix: str) -> bool:
        """Return whether a board says it by itself, or was asked just now."""
        facts = self._live.facts(prefix)
        return facts is not None and time.time() - facts.at < self._every / 2

    def _ask(self) -> None:
        while (prefix := self._todo.get()) is not None and not self._over.is_set():
            self.asked += 1
            try:
                self._asking.info(prefix)
            except ToolError:
                self.silent += 1

    def _tend(self) -> None:
        """Say that this server is there; take what others have heard; remove what is too old."""
        look_at = prune_at = time.monotonic()
        while not self._over.is_set():
            with suppress(StoreError):
                self._servers.sign()
                now = time.monotonic()
                if now >= look_at:
                    look_at = now + _LOOK
                    self._look()
                if now >= prune_at:
                    prune_at = now + _PRUNE
                    self._history.prune()
            self._over.wait(_SIGN)

    def _look(self) -> None:
        """Take what was heard last, before this server was there, or by others."""
        for prefix, one in self._history.latest(time.time() - 2 * self._every).items():
            self._live.recall(prefix, Facts(one.at, one.heap, one.rssi))
