"""Holds a session with one board: its status, and requests to it.

Everything that talks to a board goes through `Session`. Replies are filed in the exchange they
belong to and the board's retained status under a condition, by the connection's network thread; the
caller's thread waits for them.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import mqwire
from mqhost.errors import AbsentBoardError, BoardError, ToolError
from mqhost.link import absent
from mqhost.link.address import Address
from mqhost.link.answer import json_object
from mqhost.link.connection import Connection, Subscription
from mqhost.link.exchange import Exchange, Reply
from mqhost.link.roster import Status, is_away, is_restarting, parse_status
from mqhost.link.settings import Settings
from mqhost.link.signer import Signer, nonce_of
from mqhost.link.sleeper import Note, longest_sleep, wakes_within

# A retained message follows its subscription at once; this is for a slow line.
_RETAINED_TIMEOUT = 2.0
# A board that by its status is not there is believed to be away after so long, and two round trips.
_GRACE = 0.3
# What a whole reply may take: so many timeouts, so many bytes. A stream may go on for ever.
_REPLY_TIMEOUTS = 6
_MAX_REPLY = 1 << 20


class Session:
    """A connection to the broker in `settings`, for the board with the prefix in `settings`.

    Use it as a context manager. Raises BrokerError when the broker cannot be reached or refuses us,
    SilentBoardError when the board does not answer, BoardError when it answers with an error.
    `debug` is called with lines about the traffic, from either thread, and `note` with a sentence
    when a board that is away is waited for. `connection`: one that stands, for the sessions of many
    boards; it stays when this session ends.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        debug: Callable[[str], None] | None = None,
        note: Callable[[str], None] | None = None,
        connection: Connection | None = None,
    ) -> None:
        self.settings = settings
        self.prefix = settings.need_prefix()
        self.connection = connection or Connection(settings, debug)
        self.shared = connection is not None
        self._address = Address(self.prefix, settings.id)
        self._signer = Signer(*settings.auth_keys)
        self._wanted: Any = None  # what the board said in `auth`
        self._note = note or (lambda sentence: None)
        self._noted = settings.patient and not note  # nobody is there to be told
        self._met = False  # what is retained has come
        self._trip = 0.0  # seconds there and back
        self._heard = False  # the board has answered
        self._left: Note | None = None
        self.births = 0  # how many times a status said online, retained ones included
        self._changed = threading.Condition()
        self._status: Status | None = None
        self._watchers: list[Callable[[Status | None], None]] = []
        self._exchanges: list[Exchange] = []
        self._statuses = Subscription({mqwire.status_topic(self.prefix): self._on_status})
        self.connection.register(self._statuses)

    def __enter__(self) -> "Session":
        if not self.shared:
            self.connection.connect()
        return self

    def __exit__(self, *_: object) -> None:
        if self._left:
            self._left.take_away()
        if self.shared:
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
        return json_object(command, self.request(command, payload, tail, timeout).data)

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
        return absent.silence(self, waited)

    def absence(self) -> str:
        """Say that the board is not there by its last status; "" if it is."""
        return absent.absence(self)

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
            start = time.monotonic()
            self.connection.subscribe(subscription)
            self._trip = time.monotonic() - start
            self._met = True

    def keep_awake(self, **what: Any) -> None:
        """Have the board stay awake from its next wake on, until this session ends. `what` is of
        the image that waits for it."""
        if not self._left:
            sleeps_s = longest_sleep(self.last_status)
            self._left = Note(self.connection, self.prefix, sleeps_s, what).leave()

    def rouse(self) -> None:
        """Return unless the board is asleep. Then wait until it wakes, and stays awake, if somebody
        has said so, or raise AbsentBoardError: no command waits at the broker for a board that
        takes it when nobody expects that any more.
        """
        status = self.last_status or {}
        if status.get("state") != mqwire.ASLEEP:
            return
        away = self.absence()
        if not self.settings.wait:
            raise AbsentBoardError(f"{away} {absent.advice(self)}")
        limit = wakes_within(status)
        self._note(f"{away} Waiting for it, up to {limit:.0f} s.")
        self.keep_awake()
        if not self.wait_status(lambda now: now.get("state") == mqwire.ONLINE, limit):
            raise AbsentBoardError(f"{self.absence() or away} It has not woken. Nothing was sent.")

    def meet(self) -> None:
        """Look for a sign of the board, which a command was sent to, if by its status it is away.

        AbsentBoardError comes soon, unless the board restarts or somebody has said how long to
        wait: then `note` is told. One that is called offline by mistake has answered by then, and
        one that comes back is sent the command again.
        """
        timeout, grace = self.settings.timeout, _GRACE + 2 * self._trip
        if self._noted or self._statuses.refused or self._wait_there(min(grace, timeout)):
            return
        away = self.absence()
        if self._wait_there(0) or not self.connection.connected:
            return  # its status was late, or is not to be known
        patient = self.settings.patient or is_restarting(self.last_status or {})
        if not patient or timeout <= grace:
            raise AbsentBoardError(f"{away} {absent.advice(self)}", away)
        self._noted = True
        self._note(f"{away} Waiting for it, up to {timeout:g} s.")

    def _wait_there(self, timeout: float) -> bool:
        def there() -> bool:
            status = self._status
            return self._heard or status is not None and not is_away(status)

        with self._changed:
            return self._changed.wait_for(there, timeout)

    def heard(self) -> None:
        """Take that the board has answered."""
        if not self._heard:
            with self._changed:
                self._heard = True
                self._changed.notify_all()

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
