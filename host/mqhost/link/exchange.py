"""Sends one command to a board and receives its replies: parts out, parts in, in order.

The session files what arrives for the exchange's id into a queue; `receive` takes it out in the
caller's thread, and `parts` puts a reply of several messages in order. When the connection or the
board was away and the board has not been restarted meanwhile, the command is sent again with the
same id: the board answers a repeated id without doing it twice.
"""

import json
import math
import queue
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from paho.mqtt.client import MQTTMessageInfo

import mqwire
from mqhost.errors import (
    BoardError,
    BrokerError,
    RefusedError,
    ToolError,
    UnsupportedError,
    UsageError,
)
from mqhost.link.connection import Connection, Route, Subscription
from mqhost.paths import TASK
from mqwire import auth, names

# What every board since the first MQBoard's says to a command that it does not know.
_UNSUPPORTED = "Command '{}' not supported"

PART_SIZE = mqwire.MAX_PAYLOAD - mqwire.HEADER_SIZE
# MQTT keeps no order between QoS 0 and 1 (3.1.1, 4.6), and RabbitMQ 3.10 has a channel for each: a
# message that comes too early waits so many seconds for those before it, and so many of them do.
OVERTAKEN = 2.0
EARLY = 64
# A command that was tagged for a nonce of before is tagged anew so many times.
_RETAGS = 3


@dataclass(frozen=True)
class Reply:
    """A whole reply: its bytes, how many messages it came in, and how long it took."""

    data: bytes
    parts: int
    seconds: float

    @property
    def text(self) -> str:
        """The bytes as text; what is not UTF-8 is replaced."""
        return self.data.decode("utf-8", "replace")


class Message(NamedTuple):
    """One reply message: its sequence number, whether it is the last, and its data."""

    seq: int
    last: bool
    data: bytes


def new_ident() -> str:
    """Make a fresh command id: 8 characters of URL-safe base64, the first of them no "-", which a
    command line would take for an option.
    """
    ident = secrets.token_urlsafe(6)
    return "_" + ident[1:] if ident.startswith("-") else ident


def split(payload: bytes, room: int = 0) -> list[bytes]:
    """Split `payload` into the messages of one command, each with its header and with `room` for
    so many bytes more.
    """
    if len(payload) > mqwire.MAX_BODY:
        raise UsageError(
            f"{len(payload):,} B are too many for one command; {mqwire.MAX_BODY:,} B is the most. "
            "Nothing was sent."
        )
    size = PART_SIZE - room
    count = max(1, -(-len(payload) // size))
    return [
        mqwire.header(seq, seq == count - 1) + payload[seq * size : (seq + 1) * size]
        for seq in range(count)
    ]


class Owner(Protocol):
    """What an exchange needs of the session that it belongs to."""

    prefix: str
    connection: Connection

    @property
    def last_status(self) -> dict[str, Any] | None:
        """The board's last status, as far as it is known."""

    def command_root(self) -> str:
        """Return what commands' topics begin with; RefusedError if no board is clearly meant."""

    def listen(self, subscription: Subscription) -> None:
        """Subscribe, and know from then on which boards are there."""

    def room(self) -> int:
        """Return by how much `sealed` may make a message longer."""

    def sealed(self, topic: str, message: bytes) -> bytes:
        """Return `message` to `topic` with its tag, if the board wants one; RefusedError if we have
        not its key. `topic` is that below the board's prefix.
        """

    @property
    def nonce(self) -> bytes:
        """The nonce that tags are made with; b"" if there are none."""

    def refused(self, wanted: Any) -> None:
        """Take what the board said in `auth` when it refused a command."""

    def refusal(self) -> str:
        """Say why the board takes no command from us."""

    def attach(self, exchange: "Exchange") -> None:
        """Tell `exchange` of every status from now on."""

    def detach(self, exchange: "Exchange") -> None:
        """Tell `exchange` no more."""

    def rouse(self) -> None:
        """Return once the board is awake; AbsentBoardError if it sleeps and is not waited for."""

    def meet(self) -> None:
        """Return if the board is there; AbsentBoardError if it is clear that it is not."""

    def heard(self) -> None:
        """Take that the board has answered."""

    def silence(self, waited: float) -> ToolError:
        """Make the error for a board that has not answered for `waited` seconds."""


class Exchange:
    """A command with an id of its own; `with` subscribes to its replies. See `Session.open`."""

    def __init__(self, session: Owner, command: str, tail: str = "") -> None:
        try:
            names.check_tail(tail)
        except mqwire.WireError as error:
            raise UsageError(f"{tail!r:.60} cannot be sent to a board: {error}.") from error
        self.ident = new_ident()
        self._session = session
        self._command = command
        self._tail = tail
        self._topic = ""
        # What came, and from where: the topic's function, or None when there will be nothing.
        self._arrived: queue.SimpleQueue[tuple[bool | None, bytes]] = queue.SimpleQueue()
        self._subscription = _Replies(
            {
                mqwire.reply_topic(session.prefix, self.ident): self._on_reply,
                mqwire.error_topic(session.prefix, self.ident): self._on_error,
            },
            self._on_refused,
        )
        self._messages: list[bytes] = []
        self._published: list[MQTTMessageInfo] = []
        self._generation = 0
        self._boot_id: Any = None
        self._answered = False
        self._nonce = b""
        self._copies = self._refusals = 0  # of the command, and of messages for their tags
        self._refused = False
        self._followed = False

    def __enter__(self) -> "Exchange":
        # As a rule this does not wait for the answer: MQTT keeps the order, so the command comes
        # behind it, and costs one round trip. A broker that refuses it is met by `receive`.
        self._session.listen(self._subscription)
        self._session.attach(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._session.detach(self)
        self._session.connection.unsubscribe(self._subscription)

    def send(self, payload: bytes) -> int:
        """Send the command, in several messages if it is long; return how many bytes that were.

        RefusedError when it is not clear which board would take it, AbsentBoardError when none is
        there.
        """
        self._send(split(payload, self._session.room()))
        return sum(len(message) for message in self._messages)

    def begin(self, first: bytes) -> None:
        """Send the first message of a command; the others `follow`, and are never sent again."""
        self._send([mqwire.header(0, False) + first])

    def follow(self, seq: int, data: bytes, last: bool) -> None:
        """Send message number `seq` of a command that was begun: it has to fit one message."""
        self._followed = True
        message = mqwire.header(seq, last) + data
        sealed = self._session.sealed(self._own_topic, message)
        self._session.connection.publish(self._topic, sealed)

    def _send(self, messages: list[bytes]) -> None:
        self._session.rouse()
        root = self._session.command_root()
        self._topic = mqwire.command_topic(root, self._command, self.ident, self._tail)
        self._messages = messages
        self._generation = self._session.connection.generation
        status = self._session.last_status or {}
        if status.get("state") == mqwire.ONLINE:  # in the boot before nobody takes it any more
            self._boot_id = status.get("boot_id")
        self._publish()
        self._session.meet()

    def receive(self, timeout: float) -> Message | None:
        """Return the next reply message, None after `timeout` seconds; BoardError for an error,
        RefusedError for one that the board calls so, UnsupportedError for a command that it does
        not know, BrokerError when the broker does not let us have replies.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                failed, payload = self._arrived.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                if self._refused:
                    raise RefusedError(self._session.refusal()) from None
                return None
            if failed is None:
                raise BrokerError(
                    f"The broker {self._session.connection.settings.where} does not let us listen "
                    f"on {self._subscription}. Its access rules must allow this user to. The "
                    "command was sent all the same."
                )
            self._answered = True
            if failed:
                text = payload.decode("utf-8", "replace").strip()
                if text.startswith(auth.NO_TAG):
                    self._take_refusal(text[len(auth.NO_TAG) :].lstrip(": "))
                    continue
                raise self._failure(text)
            try:
                seq, last = mqwire.parse_header(payload)
            except mqwire.WireError:
                if time.monotonic() > deadline:
                    return None
                continue
            return Message(seq, last, payload[mqwire.HEADER_SIZE :])

    def parts(self, timeout: float, total: float = math.inf) -> Iterator[bytes]:
        """Yield the data of the reply's messages in order, to the last.

        Duplicates are dropped, and what has overtaken others waits for them; a gap that stays is a
        BoardError, and so is a reply that goes on for more than `total` seconds; silence for
        `timeout` seconds is a SilentBoardError.
        """
        expected = 0
        early: dict[int, Message] = {}
        deadline = time.monotonic() + total
        while True:
            if time.monotonic() > deadline:
                raise BoardError(
                    f"The board's reply does not end: it still comes after {total:g} s. "
                    "Restart the board, or try a longer --timeout."
                )
            message = early.pop(expected, None) or self.receive(OVERTAKEN if early else timeout)
            if message is None and not early:
                raise self._session.silence(timeout)
            if message is None or len(early) == EARLY:
                raise BoardError(
                    f"Part {expected} of the board's reply was lost on the way (part "
                    f"{next(iter(early))} came next). Try again."
                )
            ahead = (message.seq - expected) & mqwire.MAX_SEQ
            if ahead == 1 and message.last and not message.seq:
                ahead = 0  # the last of all numbers, of a last message: written FF FF, read as 0
            if ahead > mqwire.MAX_SEQ // 2:
                continue  # seen before
            if ahead:
                early[message.seq] = message
                continue
            yield message.data
            if message.last:
                return
            expected = (expected + 1) & mqwire.MAX_SEQ

    def repeat(self) -> None:
        """Send the very command again: a board that has executed it repeats its short answer."""
        self._publish()

    def tell(self, command: str, ident: str, tail: str = "", body: bytes = b"") -> None:
        """Publish a command of one message beside this one, as its cancel; any thread may."""
        session = self._session
        session.connection.debug("> %s %s %s", command, ident, tail)
        seen = mqwire.command_topic(session.prefix, command, ident, tail)
        message = session.sealed(seen, mqwire.header(0, True) + body)
        topic = mqwire.command_topic(session.command_root(), command, ident, tail)
        session.connection.publish(topic, message)

    # In the network thread

    def board_said(self, status: dict[str, Any] | None, retained: bool) -> None:
        """Take a status: if somebody was away in between, send the unanswered command again."""
        if not status or status.get("state") != mqwire.ONLINE or not self._messages:
            return
        boot_id = status.get("boot_id")
        if self._boot_id is None:
            self._boot_id = boot_id
        away = not retained or self._session.connection.generation != self._generation
        self._generation = self._session.connection.generation
        # What paho has no acknowledgement for it sends again itself.
        acknowledged = all(_acknowledged(info) for info in self._published)
        if away and acknowledged and not self._answered and boot_id == self._boot_id is not None:
            self._session.connection.debug("sending %s again", self.ident)
            with suppress(RefusedError):  # it wants another key now, and will say so
                self._publish()

    def _failure(self, text: str) -> ToolError:
        """Make the error for the board's `text`, with what a person makes of it."""
        if text.startswith(mqwire.REFUSED):
            return RefusedError(f"{self._session.prefix} {text}")
        if text != _UNSUPPORTED.format(self._command):
            return BoardError(text or "The board reported an error without a word.")
        status = self._session.last_status or {}
        facts = f"{status.get('version', 'unknown')!s:.60}"
        facts += f", protocol {status.get('protocol', 'unknown')!s:.20}"
        return UnsupportedError(
            f"{text} by the firmware of {self._session.prefix} (version {facts}), which is older "
            f"than this tool, or another. Update it with mqboard ota, or over USB: {TASK} flash."
        )

    def _take_refusal(self, wanted: str) -> None:
        """Take that a message was refused for its tag: send the command again if the board tells
        another nonce than that was made with.
        """
        self._refusals += 1
        with suppress(ValueError, RecursionError):
            self._session.refused(json.loads(wanted))
        if self._followed:
            return  # part of it is lost; whoever waits begins anew
        if self._session.nonce != self._nonce and self._copies <= _RETAGS:
            self._answered = False
            self._boot_id = (self._session.last_status or {}).get("boot_id")
            self._publish()
        elif self._refusals > (self._copies - 1) * len(self._messages):
            self._refused = True  # and not only a copy of before

    def _publish(self) -> None:
        session = self._session
        self._copies += 1
        self._nonce = session.nonce
        self._published = [
            session.connection.publish(self._topic, session.sealed(self._own_topic, message))
            for message in self._messages
        ]

    @property
    def _own_topic(self) -> str:
        """The topic as the board has it: it hears its own root, if there is one, as its prefix."""
        return mqwire.command_topic(self._session.prefix, self._command, self.ident, self._tail)

    def _on_reply(self, payload: bytes, retained: bool) -> None:
        if not retained:
            self._session.heard()
            self._arrived.put((False, payload))

    def _on_error(self, payload: bytes, retained: bool) -> None:
        if not retained:
            self._session.heard()
            self._arrived.put((True, payload))

    def _on_refused(self) -> None:
        self._arrived.put((None, b""))


class _Replies(Subscription):
    """The topics of one command's replies; `refused()` is called when the broker refuses them."""

    def __init__(self, routes: dict[str, Route], refused: Callable[[], None]) -> None:
        super().__init__(routes)
        self._on_refused = refused

    def answered(self, failures: list[bool]) -> None:
        """Take the broker's answer."""
        super().answered(failures)
        if self.refused:
            self._on_refused()


def _acknowledged(info: MQTTMessageInfo) -> bool:
    """Return whether the broker may have the message: paho keeps that to itself of one that was
    given without a connection. The board takes it once, if it comes twice.
    """
    try:
        return info.is_published()
    except (RuntimeError, ValueError):
        return True
