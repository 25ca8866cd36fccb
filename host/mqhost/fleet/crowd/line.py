"""Speaks MQTT 3.1.1 over one connection of asyncio: as small as thousands of them in one process
want it.

Bytes come in by `data_received`, which makes calls to the owner of them; packets go out by
`publish` and `subscribe`. There is no task for a connection, and one timer: that of its pings.
Source: MQTT Version 3.1.1, OASIS Standard, chapters 2 and 3.
"""

import asyncio
import struct
from dataclasses import dataclass
from typing import Protocol, cast

_CONNECT, _CONNACK, _PUBLISH, _PUBACK = 0x10, 0x20, 0x30, 0x40
_SUBSCRIBE, _SUBACK, _UNSUBSCRIBE, _PINGRESP = 0x82, 0x90, 0xA2, 0xD0
_PINGREQ, _DISCONNECT = b"\xc0\x00", b"\xe0\x00"
_RETAIN, _QOS = 0x01, 0x06
_CLEAN, _WILL, _WILL_QOS1, _WILL_RETAIN, _PASSWORD, _USER = 0x02, 0x04, 0x08, 0x20, 0x40, 0x80
_MOST = 1 << 20  # bytes of a packet: no board's is longer
_PING_AT = 0.7  # of the keepalive


class LineError(Exception):
    """Raised for bytes that are no MQTT 3.1.1."""


class Owner(Protocol):
    """Whose connection it is."""

    def on_up(self) -> None:
        """The broker has accepted us."""

    def on_message(self, topic: str, payload: bytes, retained: bool) -> None:
        """A message has come."""

    def on_acknowledged(self, ident: int) -> None:
        """The broker has the message that `publish` gave that id."""

    def on_lost(self, why: str) -> None:
        """The connection is gone; called once."""

    def on_failed(self, why: str) -> None:
        """No connection came about; called once, in place of `on_lost`."""


@dataclass(frozen=True)
class Hello:
    """What a client says of itself when it connects; the will is retained, at QoS 1."""

    client_id: str
    keepalive: int  # seconds
    will_topic: str
    will: bytes
    username: str = ""
    password: str = ""

    def packet(self) -> bytes:
        """Return the CONNECT packet."""
        flags = _CLEAN | _WILL | _WILL_QOS1 | _WILL_RETAIN
        parts = [_text(self.client_id), _text(self.will_topic), _binary(self.will)]
        if self.username:
            flags |= _USER
            parts.append(_text(self.username))
            if self.password:
                flags |= _PASSWORD
                parts.append(_text(self.password))
        head = _text("MQTT") + struct.pack(">BBH", 4, flags, self.keepalive)
        return packet(_CONNECT, head + b"".join(parts))


class Line(asyncio.Protocol):
    """One connection, which belongs to `owner`. `sent` and `received` count messages, and
    `sent_bytes` and `received_bytes` all bytes of packets.
    """

    def __init__(self, owner: Owner, hello: Hello) -> None:
        self.up = False
        self.sent = self.received = self.sent_bytes = self.received_bytes = 0
        self._owner: Owner | None = owner
        self._hello = hello
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asked = False  # a ping is not answered yet
        self._ident = 0
        self._unanswered = 0  # SUBSCRIBEs
        self._why = "the broker closed the connection"

    # What others call.

    @property
    def subscribed(self) -> bool:
        """Whether the broker has granted all that it was asked for."""
        return self.up and not self._unanswered

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> int:
        """Send a message; return its id, 0 at QoS 0. Without a connection it is lost."""
        ident = self._next_ident() if qos else 0
        self._send(publish_packet(topic, payload, ident, retain))
        self.sent += 1
        return ident

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Subscribe, without waiting for the answer: the broker keeps the order."""
        body = struct.pack(">H", self._next_ident()) + _text(topic_filter) + bytes((qos,))
        self._send(packet(_SUBSCRIBE, body))
        self._unanswered += 1

    def unsubscribe(self, topic_filter: str) -> None:
        """Unsubscribe, without waiting for the answer."""
        self._send(
            packet(_UNSUBSCRIBE, struct.pack(">H", self._next_ident()) + _text(topic_filter))
        )

    def leave(self) -> None:
        """Disconnect politely, when all that was published is sent; the owner hears no more."""
        self._send(_DISCONNECT)
        self._forget()
        if self._transport and self._transport.can_write_eof():
            # Not closed here: what came meanwhile and nobody reads would have the connection
            # reset, and the broker lose what we said last. It closes.
            self._transport.write_eof()
        elif self._transport:
            self._transport.close()

    def cut(self) -> None:
        """End it without a word, as a power cut does; the owner hears no more."""
        self._forget()
        if self._transport:
            self._transport.abort()

    def fail(self, why: str) -> None:
        """Take that the connection did not come about."""
        owner = self._owner
        self.cut()
        if owner:
            owner.on_failed(why)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._owner is None:  # it was given up meanwhile
            self._transport.abort()
            return
        self._send(self._hello.packet())
        self._arm()

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        self._buffer += data
        try:
            taken = 0
            while self._owner and (found := _next_packet(self._buffer, taken)):
                first, start, taken = found
                self._take(first, bytes(self._buffer[start:taken]))
            del self._buffer[: taken if self._owner else None]
        except (LineError, struct.error, IndexError, UnicodeDecodeError) as error:
            self._lose(f"the broker sent what is no MQTT: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(str(error) if error else self._why)

    # Helpers

    def _take(self, first: int, body: bytes) -> None:
        kind = first & 0xF0
        assert self._owner
        if kind == _PUBLISH:
            size = struct.unpack_from(">H", body)[0]
            topic, at = body[2 : 2 + size].decode(), 2 + size
            if first & _QOS:
                self._send(bytes((_PUBACK, 2)) + body[at : at + 2])
                at += 2
            self.received += 1
            self._owner.on_message(topic, body[at:], bool(first & _RETAIN))
        elif kind == _PUBACK:
            self._owner.on_acknowledged(struct.unpack_from(">H", body)[0])
        elif kind == _CONNACK:
            if body[1]:
                self.fail(f"the broker refused the connection: code {body[1]}")
            else:
                self.up = True
                self._owner.on_up()
        elif kind == _SUBACK and 0x80 in body[2:]:
            self._lose("the broker refused a subscription")
        elif kind == _SUBACK:
            self._unanswered -= 1
        elif kind == _PINGRESP:
            self._asked = False

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._hello.keepalive * _PING_AT, self._ping)

    def _ping(self) -> None:
        if self._asked or not self.up:
            self._lose("the broker is silent")
            return
        self._asked = True
        self._send(_PINGREQ)
        self._arm()

    def _lose(self, why: str) -> None:
        owner = self._owner
        self.cut()
        if owner:
            owner.on_lost(why)

    def _forget(self) -> None:
        self.up, self._owner = False, None
        if self._timer:
            self._timer.cancel()

    def _next_ident(self) -> int:
        self._ident = self._ident % 0xFFFF + 1
        return self._ident

    def _send(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self.sent_bytes += len(data)
            self._transport.write(data)


def packet(first: int, body: bytes) -> bytes:
    """Return a packet: its first byte, the length of the rest, and the rest."""
    size, head = len(body), bytearray((first,))
    while True:
        size, seven = size >> 7, size & 0x7F
        head.append(seven | (0x80 if size else 0))
        if not size:
            return bytes(head) + body


def publish_packet(topic: str, payload: bytes, ident: int, retain: bool) -> bytes:
    """Return a PUBLISH packet, at QoS 1 if there is an `ident`."""
    first = _PUBLISH | (_RETAIN if retain else 0) | (0x02 if ident else 0)
    return packet(first, _text(topic) + (struct.pack(">H", ident) if ident else b"") + payload)


def _next_packet(buffer: bytearray, at: int) -> tuple[int, int, int] | None:
    """Return (first byte, where the rest begins, where it ends) of the packet at `at`, None while
    it is not all there.
    """
    size = shift = 0
    for position in range(at + 1, min(at + 5, len(buffer))):
        size |= (buffer[position] & 0x7F) << shift
        shift += 7
        if buffer[position] < 0x80:
            if size > _MOST:
                raise LineError(f"a packet of {size} bytes")
            end = position + 1 + size
            return (buffer[at], position + 1, end) if end <= len(buffer) else None
    if len(buffer) - at > 4:
        raise LineError("the length of a packet")
    return None


def _text(text: str) -> bytes:
    return _binary(text.encode())


def _binary(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data
