"""Keeps the requests of broadcasts at the broker, as long as there is one that fetches them.

Two broadcasts of one image, to boards that begin one after the other, have the same request.
"""

import threading
from collections import Counter

from mqhost.fleet.cast.stream import Stream
from mqhost.link.connection import Connection


class Offers:
    """The requests that are retained by way of `connection`; from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()  # also while it is published: in that order
        self._users: Counter[str] = Counter()  # by topic

    def begin(self, stream: Stream) -> None:
        """Have boards find the request of `stream`."""
        with self._lock:
            self._users[stream.offer_topic] += 1
        self.again(stream)

    def again(self, stream: Stream) -> None:
        """Publish it once more: nodes of a cluster may have retained messages of their own, and
        boards at other ones hear it only now."""
        with self._lock:
            self._connection.publish(stream.offer_topic, stream.request, retain=True)

    def end(self, stream: Stream) -> None:
        """Take it away, unless another broadcast has it."""
        with self._lock:
            self._users[stream.offer_topic] -= 1
            if not self._users[stream.offer_topic]:
                self._connection.publish(stream.offer_topic, b"", retain=True)
