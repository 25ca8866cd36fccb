"""Follows the logs of boards: their lines as they come, taken apart where a logger made them."""

import queue
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mqwire
from mqhost.link.connection import Connection, Wide
from mqhost.link.roster import prefix_filters
from mqwire.config import LOG_LEVELS
from mqwire.log import parse

_LOG = mqwire.log_topic("")


@dataclass(frozen=True)
class LogLine:
    """What the board at `prefix` logged: `data` as it came, and what it says.

    `level`, `time` and `logger` are None in a line that no logger made: `message` is all of it.
    """

    prefix: str
    data: bytes
    level: str | None
    time: str | None
    logger: str | None
    message: str

    @classmethod
    def of(cls, prefix: str, data: bytes) -> "LogLine":
        """Take the line `data` apart."""
        text = data.decode("utf-8", "replace").rstrip("\r\n")
        return cls(prefix, data, *(parse(text) or (None, None, None, text)))

    def at_least(self, level: str) -> bool:
        """Return whether it is of that level or above, or of none: that may say anything."""
        return self.level is None or LOG_LEVELS.index(self.level) >= LOG_LEVELS.index(level)

    def record(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "prefix": self.prefix,
            "level": self.level,
            "time": self.time,
            "logger": self.logger,
            "message": self.message,
        }


class Logs:
    """The lines of all boards whose prefix matches one of `patterns` while the `with` block runs.

    Raises UsageError for a pattern that is none, BrokerError when the broker does not let us
    listen.
    """

    def __init__(self, connection: Connection, *patterns: str) -> None:
        self._connection = connection
        found = {one + _LOG: None for pattern in patterns for one in prefix_filters(pattern)}
        self._subscription = Wide(f"the logs of {', '.join(patterns)}", list(found), self._hear)
        self._arrived: queue.SimpleQueue[LogLine | None] = queue.SimpleQueue()

    def __enter__(self) -> Iterator[LogLine]:
        self._connection.subscribe(self._subscription)
        return iter(self._arrived.get, None)

    def __exit__(self, *_: object) -> None:
        self._connection.unsubscribe(self._subscription)
        self._arrived.put(None)  # whoever waits in another thread need not wait for ever

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take a message, in the network thread."""
        prefix = topic.removesuffix(_LOG)
        if prefix and prefix != topic:
            self._arrived.put(LogLine.of(prefix, payload))
