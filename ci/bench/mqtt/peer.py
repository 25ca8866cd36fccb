"""Plays the other side of a connection that is measured: a broker that knows only its part.

What it sends is ready, over TLS encrypted, before the clock starts, and goes out in bulk; so what
is measured is the client. (mosquitto, which handles each message, sends slower than either client
receives: with it in between both are equally fast.) The same peer serves the raw client and ours.
"""

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable

TOPIC = b"bench/board/data"
DONE = b"\x30\x06\x00\x04done"  # what a client publishes when it has received all
_CHUNK = 65536
_PATIENCE = 30.0


def publish_packet(qos: int, size: int, number: int = 1) -> bytes:
    """Make a PUBLISH packet on the topic of all measurements, with `size` bytes of payload."""
    body = struct.pack(">H", len(TOPIC)) + TOPIC
    if qos:
        body += struct.pack(">H", (number - 1) % 65535 + 1)
    value = len(body) + size
    length = bytearray()
    while value > 127:
        length.append(value & 127 | 128)
        value >>= 7
    length.append(value)
    return bytes([0x30 | qos << 1]) + length + body + bytes(size)


def flood_broker(port: int, qos: int, size: int, count: int) -> None:
    """Publish `count` messages to the broker on `port` as fast as it takes them."""
    with socket.create_connection(("127.0.0.1", port), _PATIENCE) as stream:
        link = Link(stream, None)
        link.send(b"\x10\x10\0\x04MQTT\4\2\0\0\0\4desk")
        link.expect(b"\x20\x02\0\0")
        packets = [publish_packet(qos, size, number + 1) for number in range(count)]
        if not qos:
            packets.append(b"\xc0\0")  # PINGREQ: the answer shows that all was taken
        link.flood(packets, 4 * count if qos else 2)


class Peer:
    """Listens on a free port, for one client after the other. With a `context`, over TLS."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_PATIENCE)
        self.port = self._listener.getsockname()[1]

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def accept(self, subscribes: bool) -> "Link":
        """Return the next client, connected and, if it `subscribes`, subscribed to one filter."""
        stream, _ = self._listener.accept()
        stream.settimeout(_PATIENCE)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(stream, self._context)
        link.answer(0x10, lambda body: b"\x20\x02\0\0")
        if subscribes:
            link.answer(0x82, lambda body: b"\x90\x03" + body[:2] + body[-1:])
        return link


class Link:
    """A connection with one client. Times are in seconds."""

    def __init__(self, stream: socket.socket, context: ssl.SSLContext | None) -> None:
        self._stream = stream
        self._received = b""
        self._tls = None
        if context:
            self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = context.wrap_bio(self._arrived, self._leaving, server_side=True)
            self._shake_hands(self._tls)

    def close(self) -> None:
        """Close it."""
        self._stream.close()

    def answer(self, first: int, answer: Callable[[bytes], bytes]) -> None:
        """Read one short packet that begins with `first`, and send answer(its body)."""
        while len(self._received) < 2 or len(self._received) < 2 + self._received[1]:
            self._received += self._read()
        data, self._received = self._received, b""
        assert data[0] == first and len(data) == 2 + data[1], data
        self._stream.sendall(self._encrypted(answer(data[2:])))

    def expect(self, data: bytes) -> None:
        """Read just this, or fail."""
        received = b""
        while len(received) < len(data):
            received += self._read()
        assert received == data, received

    def flood(self, packets: list[bytes], awaited: int) -> float:
        """Send `packets` as fast as the client takes them; return the seconds until the client has
        sent `awaited` bytes. Over TLS each packet is a record of its own, as brokers send them.
        """
        data = b"".join(map(self._encrypted, packets))
        chunks = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
        chunks.reverse()
        stream = self._stream
        stream.setblocking(False)
        started = time.perf_counter()
        while awaited > 0:
            readable, writable, _ = select.select(
                [stream], [stream] if chunks else [], [], _PATIENCE
            )
            assert readable or writable, "the client is silent"
            if writable:
                chunk = chunks.pop()
                sent = stream.send(chunk)
                if sent < len(chunk):
                    chunks.append(chunk[sent:])
            if readable:
                awaited -= len(self._read())
        seconds = time.perf_counter() - started
        stream.settimeout(_PATIENCE)
        assert awaited == 0 and not chunks, (awaited, len(chunks))
        return seconds

    def send(self, data: bytes) -> None:
        """Send `data`; what comes back stays unread."""
        self._stream.sendall(self._encrypted(data))

    def take(self, count: int, size: int, ident: int | None) -> float:
        """Take `count` packets of `size` bytes; return the seconds from the first to the last.

        `ident`: where in each its packet id stands, to be acknowledged; None for QoS 0.
        """
        rest = self._read()
        started = time.perf_counter()
        while True:
            whole = len(rest) // size
            if ident is not None and whole:
                places = range(ident, whole * size, size)
                acks = b"".join([b"\x40\x02" + rest[place : place + 2] for place in places])
                self._stream.sendall(self._encrypted(acks))
            rest = rest[whole * size :]
            count -= whole
            if count <= 0:
                break
            rest += self._read()
        seconds = time.perf_counter() - started
        assert count == 0 and not rest, (count, len(rest))
        return seconds

    def _read(self) -> bytes:
        """Return what has come, decrypted; nothing where a TLS record is not complete yet."""
        data = self._stream.recv(_CHUNK)
        if not data:
            raise EOFError("The client under measurement has closed its connection.")
        if self._tls is None:
            return data
        self._arrived.write(data)
        result = b""
        while True:
            try:
                result += self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                return result

    def _encrypted(self, data: bytes) -> bytes:
        if self._tls is None:
            return data
        self._tls.write(data)
        return self._leaving.read()

    def _shake_hands(self, tls: ssl.SSLObject) -> None:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._stream.sendall(self._leaving.read())
                self._arrived.write(self._stream.recv(_CHUNK))
        self._stream.sendall(self._leaving.read())
