"""The least an MQTT client can do, for MicroPython: what a board's client is measured against.

    micropython raw_client.py PORT count TOPIC BYTES    takes BYTES bytes of packets, unseen
    micropython raw_client.py PORT echo TOPIC REPLY     sends each packet's payload back on REPLY

It prints "ready" when it is subscribed. `count` then prints when it had them all, in nanoseconds
since 1970. `echo` goes on until it is killed; it expects one short packet at a time.
"""

import socket
import struct
import sys
import time


def connect(port, topic):
    """A socket with an MQTT 3.1.1 connection to the broker on `port`, subscribed at QoS 0."""
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
    """Receive `left` bytes."""
    buffer = memoryview(bytearray(16384))
    while left >= len(buffer):
        left -= stream.readinto(buffer)
    if left:
        stream.readinto(buffer[:left])
    print(time.time_ns())


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


def main(port, kind, topic, argument):
    stream = connect(int(port), topic)
    if kind == "count":
        count(stream, int(argument))
    else:
        echo(stream, argument.encode())


main(*sys.argv[1:])
