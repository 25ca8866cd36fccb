"""Takes boards out of Home Assistant: clears what is retained of them."""

import threading
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from paho.mqtt.client import topic_matches_sub

import mqwire
from mqhost.errors import BrokerError
from mqhost.fleet.homeassistant.discovery import described_status
from mqhost.fleet.homeassistant.topics import PREFIX, Topics
from mqhost.link.connection import Connection, Wide
from mqhost.link.roster import ALL, parse_status, status_filters

_STATUS = mqwire.status_topic("")
_QUIET = 0.5  # seconds: when nothing more came for so long, that was all


class Described:
    """The devices that mqboard has described to Home Assistant, and whose board's prefix matches
    one of `patterns`.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._filters = [filter_ for one in patterns for filter_ in status_filters(one)]
        self._statuses: dict[str, str] = {}  # the topics of their boards' statuses

    def hear(self, ident: str, record: dict[str, Any]) -> None:
        """Take what describes the device `ident`; an empty record for nothing."""
        if topic := described_status(record):
            self._statuses[ident] = topic
        else:
            self._statuses.pop(ident, None)

    def at_patterns(self) -> Iterator[tuple[str, str]]:
        """Yield the devices and the prefixes of their boards."""
        for ident, topic in sorted(self._statuses.items()):
            if any(topic_matches_sub(filter_, topic) for filter_ in self._filters):
                yield ident, topic.removesuffix(_STATUS)


def clear(connection: Connection, topics: Topics, ident: str) -> None:
    """Have the broker, and so Home Assistant, forget the device `ident`; does not wait."""
    for topic in (topics.config(ident), topics.of(ident, "update"), topics.of(ident, "state")):
        connection.publish(topic, b"", retain=True)


def remove(
    connection: Connection,
    patterns: Sequence[str] = (ALL,),
    only: Collection[str] | None = None,
    discovery: str = PREFIX,
) -> list[str]:
    """Take all boards at `patterns` out of Home Assistant, or `only` those at the given prefixes;
    return these. BrokerError if the broker does not let us, or not answer.
    """
    topics = Topics(discovery)
    described = Described(patterns)
    news = threading.Event()

    def hear(topic: str, payload: bytes, retained: bool) -> None:
        if ident := topics.described(topic):
            news.set()
            described.hear(ident, parse_status(payload) or {})

    listing = Wide("what is described to Home Assistant", [topics.config("+")], hear)
    connection.subscribe(listing)
    try:
        while news.wait(_QUIET):
            news.clear()
    finally:
        connection.unsubscribe(listing)
    found = [
        (ident, prefix)
        for ident, prefix in described.at_patterns()
        if only is None or prefix in only
    ]
    for ident, _ in found:
        clear(connection, topics, ident)
    last = connection.publish(topics.bridges, b"?")  # in order: what was before it has arrived
    last.wait_for_publish(connection.settings.timeout)
    if not last.is_published():
        raise BrokerError("The broker does not answer any more. Try again.")
    return [prefix for _, prefix in found]
