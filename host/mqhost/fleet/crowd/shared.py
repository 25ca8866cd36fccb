"""Fetches the request of a broadcast, as a board does: from the topic that its command names.

It is to the host what mqboard.update.shared is.
"""

import asyncio
import base64
import functools
import hashlib
from collections.abc import Callable
from typing import Protocol

import mqwire
from mqhost.fleet.crowd.offers import Refusal
from mqwire import update as wire

_PATIENCE_S = 3.0
_ATTEMPTS = 2  # each has the broker send what it retains


class Host(Protocol):
    """The board that fetches."""

    def listen(self, topic: str) -> None:
        """Subscribe."""

    def ignore(self, topic: str) -> None:
        """Unsubscribe."""


class Fetching:
    """Fetches the request of the broadcast on the topic `stream` for `host`: from `topic`.

    `done` is called once, with the request or with why there is none, unless it is stopped before.
    """

    def __init__(self, host: Host, stream: str, done: Callable[[bytes | Refusal], None]) -> None:
        self.topic = stream + wire.STREAM_OFFER
        self._host = host
        self._stream = stream
        self._done = done
        self._attempts = 0
        self._try()

    def take(self, request: bytes) -> None:
        """Take what is published there."""
        if not 0 < len(request) <= mqwire.MAX_BODY:
            return
        self._end(
            request
            if self._stream.split("/")[-1] == _name(request)
            else Refusal(
                wire.MALFORMED, f"the offer on {self.topic} is not the one that it is named for"
            )
        )

    def stop(self) -> None:
        """Fetch no more."""
        self._timer.cancel()
        self._host.ignore(self.topic)

    def _try(self) -> None:
        if self._attempts == _ATTEMPTS:
            self._end(Refusal(wire.MALFORMED, f"no offer came on {self.topic}"))
            return
        self._attempts += 1
        self._host.listen(self.topic)
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE_S, self._try)

    def _end(self, result: bytes | Refusal) -> None:
        self.stop()
        self._done(result)


@functools.lru_cache(64)
def _name(request: bytes) -> str:
    """Return the last level of the topic of a broadcast whose request that is."""
    return wire.stream_name(base64.b64encode(hashlib.sha256(request).digest()))
