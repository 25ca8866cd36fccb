"""Asks boards themselves for what their statuses say, where the broker does not tell.

A broker that keeps retained messages for each of its nodes alone, as RabbitMQ does, has none for
whoever is connected to another node, and gives none to who listens with a wildcard. The answer to
`info` says all that a status says. One question goes to many boards under the same id, so that one
subscription hears all their answers.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import mqwire
from mqhost.errors import BrokerError, RefusedError
from mqhost.link.connection import Connection, Wide
from mqhost.link.exchange import new_ident
from mqhost.link.roster import Status, depths_of, parse_status
from mqhost.link.signer import Signer
from mqwire import auth

_COMMAND = "info"
# How long nothing may come, and all of it; and with each board more so many seconds more.
_QUIET_S, _LONGEST_S = 0.5, 10.0
_QUIET_MORE_S, _LONGEST_MORE_S = 0.002, 0.02


class Asking:
    """Asks boards over `connection`; `answered(prefix, status)` is called in the network thread for
    each that answers. Each `ask` ends the one before it, `close` the last.
    """

    def __init__(self, connection: Connection, answered: Callable[[str, Status], None]) -> None:
        self._connection = connection
        self._answered = answered
        self._subscription: Wide | None = None
        self._signers: dict[str, Signer] = {}  # of boards that want tags, and were told once
        self._endings = "", ""

    def ask(self, prefixes: Iterable[str]) -> None:
        """Ask the boards at `prefixes`, without waiting; BrokerError if we may not listen."""
        self.close()
        prefixes = list(prefixes)
        ident = new_ident()
        self._signers.clear()
        self._endings = mqwire.reply_topic("", ident), mqwire.error_topic("", ident)
        filters = [root + ending for root in depths_of(prefixes) for ending in self._endings]
        self._subscription = Wide("the answers of boards", filters, self._hear)
        self._connection.subscribe(self._subscription)
        for prefix in prefixes:
            topic = mqwire.command_topic(prefix, _COMMAND, ident)
            self._connection.publish(topic, mqwire.header(0, True))

    def close(self) -> None:
        """Listen no more."""
        if self._subscription:
            self._connection.unsubscribe(self._subscription)
            self._subscription = None

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        reply, error = self._endings
        if retained or not reply:
            return
        if topic.endswith(reply):
            status = parse_status(payload[mqwire.HEADER_SIZE :])
            if status and status.get("state") == mqwire.ONLINE:
                self._answered(topic.removesuffix(reply), status)
        elif topic.endswith(error):
            self._sign(topic.removesuffix(error), payload.decode("utf-8", "replace"))

    def _sign(self, prefix: str, text: str) -> None:
        """Ask a board once more that wants a tag, if we have its key."""
        if not text.startswith(auth.NO_TAG) or prefix in self._signers:
            return
        self._signers[prefix] = signer = Signer(*self._connection.settings.auth_keys)
        ident = self._endings[0].rpartition("/")[2]
        topic = mqwire.command_topic(prefix, _COMMAND, ident)
        with suppress(RefusedError, ValueError, RecursionError):
            wanted: Any = json.loads(text[len(auth.NO_TAG) :].lstrip(": "))
            self._connection.publish(topic, signer.sealed(wanted, topic, mqwire.header(0, True)))


def statuses_of(connection: Connection, prefixes: Iterable[str]) -> dict[str, Status]:
    """Ask the boards at `prefixes`, and return what those say that answer, by prefix: until nothing
    more comes for a while.
    """
    wanted = set(prefixes)
    found: dict[str, Status] = {}
    news = threading.Condition()

    def hear(prefix: str, status: Status) -> None:
        with news:
            found[prefix] = status
            news.notify_all()

    asking = Asking(connection, hear)
    try:
        asking.ask(sorted(wanted))
        deadline = time.monotonic() + _LONGEST_S + len(wanted) * _LONGEST_MORE_S
        quiet = _QUIET_S + len(wanted) * _QUIET_MORE_S
        with news:
            while wanted - found.keys() and time.monotonic() < deadline:
                if not news.wait(quiet):
                    break
            return dict(found)
    except BrokerError:  # who may only look is not told
        return {}
    finally:
        asking.close()
