"""Does the least an MQTT client can do, on MicroPython: what a board's client is measured against.

    micropython probe.py PORT count TOPIC BYTES    takes BYTES bytes of packets, unseen
    micropython probe.py PORT decode TOPIC BYTES   and inflates and hashes the blocks in them
    micropython probe.py PORT echo TOPIC REPLY     sends each packet's payload back on REPLY
    micropython probe.py PORT send TOPIC BYTES     prints BYTES bytes into messages, below TOPIC

It prints "ready" when it is subscribed. `count` and `decode` then print when they were done, in
nanoseconds since 1970. `echo` goes on until it is killed; it expects one short packet at a time.
"""

import hashlib
import io
import socket
import struct
import sys
import time

from deflate import RAW, DeflateIO

_PACKET = 5120  # more than any packet with blocks
_BLOCK = 4096
_WINDOW_BITS = 12
_MESSAGE = 1400  # what `send` sends, and
_WINDOW = 45  # so many of them for each answer


def connect(port, topic):
    """Open a socket with an MQTT 3.1.1 connection to the broker on `port`, subscribed at QoS 0."""
    stream = socket.socket()
    stream.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    stream.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
    name = b"raw-" + topic.rsplit("/", 1)[-1].encode()
    stream.write(
        struct.pack(">BBH4sBBHH", 0x10, 12 + len(name), 4, b"MQTT", 4, 2, 0, len(name)) + name
    )
    stream.readinto(bytearray(4))  # CONNACK
    name = topic.encode()
    stream.write(struct.pack(">BBHH", 0x82, 5 + len(name), 1, len(name)) + name + b"\0")
    stream.readinto(bytearray(5))  # SUBACK
    print("ready")
    return stream


def count(stream, left):
    """Receive `left` bytes. A blocking socket's readinto returns only when the buffer is full."""
    buffer = memoryview(bytearray(16384))
    while left >= len(buffer):
        left -= stream.readinto(buffer)
    if left:
        stream.readinto(buffer[:left])


def decode(stream, left):
    """Receive `left` bytes of block messages; inflate and hash every block."""
    packet = memoryview(bytearray(_PACKET))
    block = bytearray(_BLOCK)
    while left > 0:
        stream.readinto(packet[:2])
        size = packet[1]
        left -= 2
        if size > 127:  # the remaining length has a second byte
            stream.readinto(packet[:1])
            size += (packet[0] - 1) << 7
            left -= 1
        left -= stream.readinto(packet[:size])
        (topic_size,) = struct.unpack_from(">H", packet, 0)
        position = 2 + topic_size
        while position < size:
            _, encoding, length = struct.unpack_from(">HBH", packet, position)
            position += 5 + length
            data = packet[position - length : position]
            if encoding:
                DeflateIO(io.BytesIO(data), RAW, _WINDOW_BITS).readinto(block)
                data = block
            hashlib.sha256(data).digest()


def echo(stream, reply):
    """Send each packet's payload to `reply`."""
    head = bytearray(2)
    while True:
        stream.readinto(head)
        body = stream.read(head[1])
        (size,) = struct.unpack_from(">H", body, 0)
        payload = body[2 + size :]
        answer = struct.pack(">BBH", 0x30, 2 + len(reply) + len(payload), len(reply))
        stream.write(answer + reply + payload)


def send(stream, topic, left):
    """Print `left` bytes in lines of 80 into messages below `topic`, on which a short packet comes
    for each `_WINDOW` of them; two windows may be on their way.
    """
    topic = topic.encode() + b"/sent"
    size = 2 + len(topic) + _MESSAGE
    head = struct.pack(">BBBH", 0x30, size & 127 | 128, size >> 7, len(topic)) + topic
    line = "x" * 79
    buffer = io.BytesIO(2 * _MESSAGE)
    sent = 0
    while left > 0:
        print(line, file=buffer)
        left -= 80
        if buffer.tell() >= _MESSAGE:
            data = buffer.getvalue()
            stream.write(head + data[:_MESSAGE])
            rest = data[_MESSAGE : buffer.tell()]
            buffer.seek(0)
            buffer.write(rest)
            sent += 1
            if sent % _WINDOW == 0 and sent > _WINDOW:
                stream.read(stream.read(2)[1])


def main(port, kind, topic, argument):
    """Do what the module's docstring says."""
    stream = connect(int(port), topic)
    if kind == "echo":
        echo(stream, argument.encode())
    elif kind == "send":
        send(stream, topic, int(argument))
        stream.read()  # until we are killed
    else:
        (count if kind == "count" else decode)(stream, int(argument))
        print(time.time_ns())


main(*sys.argv[1:])
