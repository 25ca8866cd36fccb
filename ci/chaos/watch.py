"""Watches boards through a connection of its own: whoever answers a command is there.

A birth message would not do: the broker keeps it, and a proxy or a module may stand in the way of
commands all the same. So a `ping` goes out again and again until one comes back.
"""

import secrets
import threading
import time
from collections.abc import Callable

import paho.mqtt.client as paho

import mqwire

_EVERY = 0.2  # seconds between two pings, unless told otherwise
_RECONNECT = 0.1  # seconds until it tries the broker again: what it measures must not be itself


class Watch:
    """Pings boards whose prefixes begin with `root`, `every` so many seconds. Use it as a context
    manager."""

    def __init__(self, host: str, port: int, root: str, every: float = _EVERY) -> None:
        self._root = root
        self._every = every
        self._changed = threading.Condition()
        self._answers: set[str] = set()  # topics
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="watch")
        self._client.reconnect_delay_set(_RECONNECT, _RECONNECT)  # type: ignore[arg-type]
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.connect(host, port)

    def __enter__(self) -> "Watch":
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_there(self, prefix: str, timeout: float) -> float | None:
        """Wait until the board answers a ping from now on; return the seconds, None if it did not
        within `timeout`."""
        started = time.monotonic()
        asked: set[str] = set()

        def ask() -> None:
            ident = secrets.token_urlsafe(6)
            asked.add(mqwire.reply_topic(prefix, ident))
            topic = mqwire.command_topic(prefix, "ping", ident)
            self._client.publish(topic, mqwire.header(0, True), 0)

        return time.monotonic() - started if self._await(asked, ask, timeout) else None

    def order(self, prefix: str, word: str, timeout: float) -> bool:
        """Tell the board's module the word until it says that it begins (chaotic.py)."""
        topic = f"{prefix}/chaos"
        return self._await({f"{topic}/now"}, lambda: self._client.publish(topic, word, 0), timeout)

    def _await(self, topics: set[str], ask: Callable[[], object], timeout: float) -> bool:
        """Ask again and again; return whether there was an answer on one of `topics`."""
        with self._changed:
            self._answers -= topics
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ask()
            with self._changed:
                if self._changed.wait_for(lambda: topics & self._answers, self._every):
                    self._answers -= topics
                    return True
        return False

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        for topic in ("mqb/reply/out/+", "chaos/now"):
            client.subscribe(f"{self._root}/+/{topic}", 0)

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self._answers.add(message.topic)
            self._changed.notify_all()
