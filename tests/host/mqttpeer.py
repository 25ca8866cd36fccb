"""Writes and reads MQTT 3.1.1 packets independently of the code under test; has a stream for it.

`read` drives the board's reader to its end without an event loop: thousands of cases a second.
"""

import struct
import sys

from mqhost.paths import FROZEN, ROOT

# The board's own modules, with what they find on CPython in tests/board.
sys.path += [str(FROZEN), str(ROOT / "tests" / "board" / "cpython")]

from mqboard.mqtt import Client  # noqa: E402


def encode_length(value):
    """Encode a remaining length (2.2.3)."""
    data = bytearray()
    while True:
        value, digit = divmod(value, 128)
        data.append(digit | (128 if value else 0))
        if not value:
            return bytes(data)


def decode_length(data, position):
    """Return (remaining length, position behind it)."""
    value = 0
    for index in range(4):
        value += (data[position + index] & 127) * 128**index
        if data[position + index] < 128:
            return value, position + index + 1
    raise ValueError("a length of five bytes")


def frame(first, body):
    return bytes((first,)) + encode_length(len(body)) + body


def text(value):
    return struct.pack(">H", len(value)) + value


def publish(topic, payload, qos=0, packet_id=1, flags=0):
    body = text(topic.encode()) + (struct.pack(">H", packet_id) if qos else b"") + payload
    return frame(0x30 | qos << 1 | flags, body)


def split(data):
    """Return [(first byte, body)] of whole packets."""
    packets = []
    position = 0
    while position < len(data):
        length, body = decode_length(data, position + 1)
        packets.append((data[position], data[body : body + length]))
        position = body + length
    assert position == len(data)
    return packets


class Recorded:
    """A stream that gives `data` in pieces of these `sizes`, then nothing for a while, then ends.

    It keeps what is `sent`.
    """

    def __init__(self, data, sizes=()):
        self.data = data
        self.sizes = list(sizes)
        self.position = 0
        self.waited = False
        self.sent = bytearray()

    def readinto(self, view):
        if self.position == len(self.data) and not self.waited:
            return None
        size = self.sizes.pop() if self.sizes else len(view)
        piece = self.data[self.position : self.position + min(size, len(view))]
        view[: len(piece)] = piece
        self.position += len(piece)
        return len(piece)

    async def wait_readable(self):
        self.waited = self.position == len(self.data)

    def write(self, view):
        self.sent += view
        return len(view)

    def close(self):
        pass


def finish(coroutine):
    """Run a coroutine that only ever gives others their turn; returns its value."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


def make_client(handler, rx_size=256, stream=True):
    """Make a client without a connection, subscribed to everything."""
    client = Client(None, "host", rx_size=rx_size)
    finish(client.subscribe("#", handler, stream=stream))
    return client


def read(client, stream):
    """Have the client take all that `stream` gives; returns the exception that ended it."""
    client.reader.attach(stream)
    try:
        finish(client.reader.read_packets(client))
    except Exception as error:
        return error
    raise AssertionError("the reader returned")
