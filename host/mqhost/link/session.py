"""Holds a session with one board: its status, and requests to it.

Everything that talks to a board goes through `Session`. Replies are filed in the exchange they
belong to and the board's retained status under a condition, by the connection's network thread; the
caller's thread waits for them.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import mqwire
from mqhost.errors import BoardError, BrokerError, SilentBoardError, ToolError
from mqhost.link.address import Address
from mqhost.link.connection import Connection, Subscription
from mqhost.link.exchange import Exchange, Reply
from mqhost.link.roster import Status, look_for, offline_text, parse_status
from mqhost.link.settings import Settings
from mqhost.link.signer import Signer, nonce_of

# A retained message follows its subscription at once; this is for a slow line.
_RETAINED_TIMEOUT = 2.0
# What a whole reply may take: so many timeouts, so many bytes. A stream may go on for ever.
_REPLY_TIMEOUTS = 6
_MAX_REPLY = 1 << 20


class Session:
    """A connection to the broker in `settings`, for the board with the prefix in `settings`.

    Use it as a context manager. Raises BrokerError when the broker cannot be reached or refuses us,
    SilentBoardError when the board does not answer, BoardError when it answers with an error.
    `debug` is called with lines about the traffic, from either thread. `connection`: one that
    stands, for the sessions of many boards; it stays when this session ends.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        debug: Callable[[str], None] | None = None,
        connection: Connection | None = None,
    ) -> None:
        self.settings = settings
        self.prefix = settings.need_prefix()
        self.connection = connection or Connection(settings, debug)
        self._shared = connection is not None
        self._address = Address(self.prefix, settings.id)
        self._signer = Signer(*settings.auth_keys)
        self._wanted: Any = None  # what the board said in `auth`
        self._met = False  # what is retained has come
        self.births = 0  # how many times a status said online, retained ones included
        self._changed = threading.Condition()
        self._status: Status | None = None
        self._watchers: list[Callable[[Status | None], None]] = []
        self._exchanges: list[Exchange] = []
        self._statuses = Subscription({mqwire.status_topic(self.prefix): self._on_status})
        self.connection.register(self._statuses)

    def __enter__(self) -> "Session":
        if not self._shared:
            self.connection.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shared:
            self.connection.unsubscribe(self._statuses)
        else:
            self.connection.close()

    # Requests

    def open(self, command: str, tail: str = "") -> Exchange:
        """Start an exchange, a context manager: one command with its id and its replies."""
        return Exchange(self, command, tail)

    def stream(
        self,
        command: str,
        payload: bytes = b"",
        tail: str = "",
        timeout: float | None = None,
        total: float = math.inf,
    ) -> Iterator[bytes]:
        """Send a command and yield the parts of its reply as they arrive.

        `timeout` is in seconds and counts from part to part, `total` for all of them.
        """
        with self.open(command, tail) as exchange:
            exchange.send(payload)
            yield from exchange.parts(timeout or self.settings.timeout, total)

    def request(
        self, command: str, payload: bytes = b"", tail: str = "", timeout: float | None = None
    ) -> Reply:
        """Send a command and return its whole reply; BoardError if it does not end (see above)."""
        start = time.monotonic()
        total = _REPLY_TIMEOUTS * (timeout or self.settings.timeout)
        data, count = bytearray(), 0
        for part in self.stream(command, payload, tail, timeout, total):
            data += part
            count += 1
            if len(data) > _MAX_REPLY:
                raise BoardError(
                    f"The board's reply to {command} does not end: {len(data):,} B came, and "
                    f"{_MAX_REPLY:,} B is the most. Restart the board."
                )
        return Reply(bytes(data), count, time.monotonic() - start)

    def request_json(
        self, command: str, payload: bytes = b"", tail: str = "", timeout: float | None = None
    ) -> dict[str, Any]:
        """Send a command whose reply is a JSON object; BoardError if it is something else."""
        data = self.request(command, payload, tail, timeout).data
        try:
            record = json.loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            raise BoardError(
                f"The board's answer to {command} is not JSON: {data[:60]!r}"
            ) from error
        if not isinstance(record, dict):
            raise BoardError(f"The board's answer to {command} is no JSON object: {data[:60]!r}")
        return record

    # Status

    def status(self) -> Status | None:
        """Return what the board (or its will) last said of itself; None if nothing ever."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._status is not None, min(_RETAINED_TIMEOUT, self.settings.timeout)
            )
            return self._status

    @property
    def last_status(self) -> Status | None:
        """The board's last status as far as it is known, without waiting for it."""
        return self._status

    def watch_status(self, callback: Callable[[Status | None], None]) -> None:
        """Call `callback` with every status from now on, in the network thread."""
        self._watchers.append(callback)

    def wait_status(self, predicate: Callable[[Status], bool], timeout: float) -> Status | None:
        """Wait until a status satisfies `predicate` and return it; None after `timeout` seconds."""

        def satisfied() -> bool:
            return self._status is not None and predicate(self._status)

        with self._changed:
            return self._status if self._changed.wait_for(satisfied, timeout) else None

    def silence(self, waited: float) -> ToolError:
        """Make the error for a board that did not answer within `waited` seconds."""
        if not self.connection.connected:
            return BrokerError(
                f"The connection to the broker {self.settings.where} is lost"
                + (f": {self.connection.failure}" if self.connection.failure else ".")
            )
        status = self.last_status
        text = f"No answer from {self.prefix} within {waited:g} s"
        if status is None and self._address.wanted:
            return SilentBoardError(f"{text}, nor a status of the board {self._address.wanted}.")
        if status is None:
            return SilentBoardError(f"{text}. {self.nobody()}")
        if status.get("state") == mqwire.OFFLINE:
            return SilentBoardError(
                f"{text}: the board is {offline_text(status)}, says the broker. Check its power "
                "and network."
            )
        return SilentBoardError(
            f"{text}, though its status says {status.get('state')!s:.20}. It may be busy: try a "
            "longer --timeout; mqboard cancel --all ends code that holds it up. Or the broker's "
            "rules keep your commands from it."
        )

    def nobody(self) -> str:
        """Say that no board has announced itself here, and which prefixes are like this one."""
        likely = look_for(self.connection, self.prefix)
        meant = f" Do you mean {' or '.join(likely)}?" if likely else ""
        return (
            f"No board has announced itself at {self.prefix}.{meant} Is the prefix right, and does "
            f"the board use this broker, {self.settings.where}?"
        )

    @property
    def board_id(self) -> str:
        """The hardware id of the board that is meant, "" while nobody asked for it."""
        return self._address.wanted

    def hold_to(self, board_id: Any) -> None:
        """From now on mean the board with that hardware id only, if that is one: a status of
        another does not count, and a command goes to that board or nowhere.
        """
        if isinstance(board_id, str) and not self._address.wanted:
            with self._changed:
                self._address.hold_to(board_id)
                if self._status and self._status.get("id") != board_id:
                    self._status = None

    # For exchanges

    def command_root(self) -> str:
        """Return what commands' topics begin with; RefusedError if no board is clearly meant."""
        return self._address.root()

    def listen(self, subscription: Subscription) -> None:
        """Subscribe. Only the first time this waits for the broker's answer: before that comes what
        it has retained, by which we know whom a command will reach, and what tag it needs.
        """
        if self._met:
            self.connection.register(subscription)
        else:
            self.connection.subscribe(subscription)
            self._met = True

    def room(self) -> int:
        """Return by how much `sealed` may make a message longer."""
        return self._signer.room

    def sealed(self, topic: str, message: bytes) -> bytes:
        """Return `message` to `topic` with its tag, if the board wants one; RefusedError if we have
        not its key.
        """
        return self._signer.sealed(self._wanted, topic, message)

    @property
    def nonce(self) -> bytes:
        """The nonce that tags are made with; b"" if there are none."""
        return nonce_of(self._wanted)

    def refused(self, wanted: Any) -> None:
        """Take what the board said in `auth` when it refused a command."""
        if isinstance(wanted, dict):
            self._wanted = wanted

    def refusal(self) -> str:
        """Say why the board takes no command from us."""
        return self._signer.refusal(self._wanted)

    def has_key(self, key: str) -> bool:
        """Return whether `key` is one that we can tag commands with."""
        return key in self.settings.auth_keys

    def attach(self, exchange: Exchange) -> None:
        """Remember an exchange that waits for its reply, to send its command again if need be."""
        with self._changed:
            self._exchanges.append(exchange)

    def detach(self, exchange: Exchange) -> None:
        """Forget an exchange."""
        with self._changed:
            if exchange in self._exchanges:
                self._exchanges.remove(exchange)

    # In the network thread

    def _on_status(self, payload: bytes, retained: bool) -> None:
        status = parse_status(payload)
        if not self._address.hear(status, retained):
            return  # another board's
        with self._changed:
            self._status = status
            if (status or {}).get("state") == mqwire.ONLINE:
                self._wanted = (status or {}).get("auth")
            self.births += (status or {}).get("state") == mqwire.ONLINE
            self._changed.notify_all()
            exchanges = list(self._exchanges)
        for exchange in exchanges:
            exchange.board_said(status, retained)
        for callback in list(self._watchers):
            callback(status)
