"""Does the least that MQTT takes on MicroPython, without a line of ours: what mqboard.mqtt is
measured against.

    micropython raw.py PORT CA KIND SIZE COUNT

It connects to the peer (peer.py) on PORT of this machine, over TLS if CA is a file and not
"-", prints "ready", does its KIND with COUNT messages of SIZE bytes, and prints "done":

    rx0, rx1   takes them: walks over the packets where they lie in the buffer and counts them;
               rx1 acknowledges them, with one write for all that came with one read
    pub0       sends them, each with one write of a packet made before
    pub1       so too, with QoS 1, and reads each acknowledgement before the next message
    window8    so too, with up to 8 messages not acknowledged

Everything blocks: nothing is polled, no event loop runs, nothing is allocated on the way.
"""

import socket
import struct
import sys

_RX_SIZE = 4608  # as the client's own, which is a board's memory and not the client's work
_WINDOW = 8
_TOPIC = b"bench/board/data"


def connect(port, ca):
    """Return a connected stream."""
    stream = socket.socket()
    stream.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    stream.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
    if ca != "-":
        import tls

        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        with open(ca, "rb") as file:
            context.load_verify_locations(file.read())
        stream = context.wrap_socket(stream, server_hostname="localhost")
    stream.write(struct.pack(">BBH4sBBHH", 0x10, 15, 4, b"MQTT", 4, 2, 0, 3) + b"raw")
    stream.readinto(bytearray(4))  # CONNACK
    return stream


def subscribe(stream, qos):
    """Subscribe, as a client would; the peer only answers."""
    packet = struct.pack(">BBHH", 0x82, 5 + len(_TOPIC), 1, len(_TOPIC)) + _TOPIC + bytes((qos,))
    stream.write(packet)
    stream.readinto(bytearray(5))  # SUBACK


def publish_packet(qos, size):
    """Make (a PUBLISH packet of `size` bytes payload, the place of its packet id)."""
    body = 2 + len(_TOPIC) + (2 if qos else 0) + size
    length = bytes((body,)) if body < 128 else bytes((body & 127 | 128, body >> 7))
    head = bytes((0x30 | qos << 1,)) + length + struct.pack(">H", len(_TOPIC)) + _TOPIC
    return bytearray(head + (b"\0\0" if qos else b"") + bytes(size)), len(head)


def receive(stream, qos, left):
    """Take `left` bytes of PUBLISH packets; return how many packets these were."""
    rx = bytearray(_RX_SIZE)
    view = memoryview(rx)
    acks = bytearray(4 * _RX_SIZE // 24)
    acks_view = memoryview(acks)
    for position in range(0, len(acks), 4):
        acks[position] = 0x40
        acks[position + 1] = 2
    count = end = 0
    while left:
        take = min(_RX_SIZE - end, left)
        stream.readinto(view[end : end + take])  # returns when it has them all
        left -= take
        end += take
        position = ack = 0
        while position + 3 <= end:
            stop = rx[position + 1]
            body = position + 2
            if stop > 127:
                stop = stop & 127 | rx[body] << 7
                body += 1
            stop += body
            if stop > end:
                break
            count += 1
            if qos:
                ident = body + 2 + (rx[body] << 8 | rx[body + 1])
                acks[ack + 2] = rx[ident]
                acks[ack + 3] = rx[ident + 1]
                ack += 4
            position = stop
        if ack:
            stream.write(acks_view[:ack])
        if position:
            end -= position
            view[:end] = view[position : position + end]
    return count


def publish(stream, qos, size, count, window):
    """Send `count` messages, at most `window` of them not acknowledged."""
    packet, ident = publish_packet(qos, size)
    answers = memoryview(bytearray(4 * window)) if qos else None
    half = max(1, window // 2)
    pending = 0
    for number in range(1, count + 1):
        if qos:
            packet[ident] = number >> 8
            packet[ident + 1] = number & 255
        stream.write(packet)
        if qos:
            pending += 1
            if pending == window:
                stream.readinto(answers[: 4 * half])
                pending -= half
    if pending:
        stream.readinto(answers[: 4 * pending])


def main(port, ca, kind, size, count):
    """Do what the module's docstring says."""
    size, count = int(size), int(count)
    stream = connect(int(port), ca)
    if kind[:2] == "rx":
        qos = int(kind[2])
        subscribe(stream, qos)
        print("ready")
        left = count * len(publish_packet(qos, size)[0])
        if receive(stream, qos, left) != count:
            raise ValueError("other packets than were to come")
        if not qos:
            stream.write(b"\x30\x06\x00\x04done")
    else:
        print("ready")
        qos = 0 if kind == "pub0" else 1
        publish(stream, qos, size, count, _WINDOW if kind == "window8" else 1)
    print("done")
    sys.stdin.read()  # the other side closes first: nothing it still reads is lost


main(*sys.argv[1:])
