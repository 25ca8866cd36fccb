"""Hears everything that is published at a broker, and gives out each message once, in order."""

import threading
from collections.abc import Callable

from paho.mqtt.client import topic_matches_sub

import mqwire
from mqhost.link.connection import Connection, Wide
from mqhost.link.settings import Settings

_MANAGING = "/mqb/"  # in topics of commands, of files and of updates, which are no application's
_OURS = (mqwire.status_topic(""), mqwire.log_topic(""))
_SHOWN = 10


class _All(Wide):
    qos = 1  # of a board's application no message may be lost on the way to its test


class Messages:
    """The messages at the broker of `settings`, from the beginning of the `with` block on.

    What the broker has retained comes again after an outage, and is told only if it is news.
    """

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)
        self._changed = threading.Condition()
        self._waiting: list[tuple[str, bytes]] = []  # that nobody has taken yet
        self._last: dict[str, bytes] = {}

    def __enter__(self) -> "Messages":
        self._connection.connect()
        try:
            self._connection.subscribe(_All("everything", ["#"], self._hear))
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Publish a message; one of QoS 1 goes out when the broker is back, if it is away."""
        self._connection.publish(topic, payload, qos, retain)

    def take(self, topic: str, timeout: float) -> bytes | None:
        """Return the oldest message whose topic is `topic`, or matches it, that was not taken yet;
        None if there is none within `timeout` seconds.
        """
        return self._wait(lambda: self._pick(topic), timeout)

    def take_all(self, topic: str) -> list[bytes]:
        """Return all of those that are there, and take them."""
        with self._changed:
            return list(iter(lambda: self._pick(topic), None))

    def untaken(self) -> str:
        """List what nobody has taken, for the message of a wait that was in vain."""
        with self._changed:
            shown = [each for each in self._waiting if not each[0].endswith(_OURS)]
        lines = [f"  {topic}: {payload[:60]!r}" for topic, payload in shown[-_SHOWN:]]
        return "\n".join(lines) or "  nothing"

    def _wait(self, look: Callable[[], bytes | None], timeout: float) -> bytes | None:
        found: list[bytes] = []

        def happened() -> bool:
            one = look()
            if one is not None:
                found.append(one)
            return one is not None

        with self._changed:
            self._changed.wait_for(happened, timeout)
        return found[0] if found else None

    def _pick(self, topic: str) -> bytes | None:
        for number, (name, payload) in enumerate(self._waiting):
            if topic_matches_sub(topic, name):
                del self._waiting[number]
                return payload
        return None

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take a message, in the network thread."""
        if _MANAGING in topic and not topic.endswith(_OURS):
            return
        with self._changed:
            known = self._last.get(topic) == payload
            self._last[topic] = payload
            if not (retained and known):
                self._waiting.append((topic, payload))
                self._changed.notify_all()
