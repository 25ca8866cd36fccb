"""Tells who waits that something has changed, from any thread into the event loop.

What changes again before somebody has looked is told once: a slow listener gets fewer and larger
batches, and holds no more than the names of what there is.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

Key = tuple[str, str]  # what kind of thing, and which one

BOARD, JOB, ROLLOUT, BROKER = "board", "job", "rollout", "broker"
_PAUSE = 0.25  # seconds in which changes are gathered


class Changes:
    """What has changed, for all who listen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []

    def tell(self, kind: str, name: str = "") -> None:
        """Say that something has changed; from any thread."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.put((kind, name))

    @contextmanager
    def listening(self) -> "Iterator[Listener]":
        """Gather what changes while the `with` block runs, in the running event loop."""
        listener = Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners.append(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.remove(listener)

    async def batches(self, pause: float = _PAUSE) -> AsyncIterator[set[Key]]:
        """Yield what has changed since the last time, for ever, at most every `pause` seconds."""
        with self.listening() as listener:
            while True:
                yield await listener.next(pause)


class Listener:
    """Gathers changes for one who listens."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._gathered: set[Key] = set()
        self._news = asyncio.Event()

    def put(self, key: Key) -> None:
        with self._lock:
            first = not self._gathered
            self._gathered.add(key)
        if first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    async def next(self, pause: float = _PAUSE, timeout: float | None = None) -> set[Key]:
        """Wait for changes, gather more for `pause` seconds, and return them; nothing, if there
        was none for `timeout` seconds.
        """
        try:
            await asyncio.wait_for(self._news.wait(), timeout)
        except TimeoutError:
            return set()
        await asyncio.sleep(pause)
        with self._lock:
            gathered, self._gathered = self._gathered, set()
            self._news.clear()
        return gathered
