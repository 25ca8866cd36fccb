"""Follows the log of a board for one who looks: what comes is gathered, and told together."""

import asyncio
import threading
from collections import deque

from mqhost.link.connection import Connection, Wide
from mqwire import log_topic

_MOST = 2000  # lines that wait for who reads slowly
_PAUSE = 0.15  # seconds in which lines are gathered


class Following:
    """The log of the board at `prefix`, from when the `with` block begins."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._topic = log_topic(prefix)
        self._lock = threading.Lock()
        self._lines: deque[str] = deque()
        self._lost = 0
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._subscription = Wide(f"the log of {prefix}", [self._topic], self._hear)

    def __enter__(self) -> "Following":
        self._connection.register(self._subscription)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.unsubscribe(self._subscription)

    async def next(self, timeout: float) -> list[str]:
        """Return the lines that came, none after `timeout` seconds. Those that were too many for
        who reads slowly are counted in a line of their own.
        """
        try:
            await asyncio.wait_for(self._news.wait(), timeout)
        except TimeoutError:
            return []
        await asyncio.sleep(_PAUSE)
        with self._lock:
            lines, lost = list(self._lines), self._lost
            self._lines.clear()
            self._lost = 0
            self._news.clear()
        return [*([f"({lost:,} lines were too many)"] if lost else []), *lines]

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take a message, in the network thread."""
        if topic != self._topic:
            return
        with self._lock:
            first = not self._lines
            if len(self._lines) >= _MOST:
                self._lines.popleft()
                self._lost += 1
            self._lines.append(text_of(payload))
        if first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)


def text_of(payload: bytes) -> str:
    """Return a line as it is shown."""
    return payload.decode("utf-8", "replace").rstrip("\r\n")
