"""Carries files with the least there can be: what a board's `put` and `get` are measured against.

It is frozen as main.py: the board's MicroPython, on its flash and its filesystem, and none of our
code. A file that is put is written as its packets come; one that is got is read and published. It
says nothing of what it has, asks for nothing again, and looks at no hash.

    PREFIX/raw/put  BYTES     the file /raw.bin comes on PREFIX/raw/data; "done" on PREFIX/raw/out
    PREFIX/raw/get            the file /raw.bin goes out on PREFIX/raw/out
"""

import json
import socket
import struct
import time

import machine
import network

_PIECE = 4096


def packet(kind, body):
    """Return an MQTT packet."""
    size = len(body)
    if size < 128:
        return bytes((kind, size)) + body
    return bytes((kind, size & 127 | 128, size >> 7)) + body


def name(text):
    """Return a text behind its length."""
    return struct.pack(">H", len(text)) + text


def read_packet(stream, buffer):
    """Read a packet into `buffer`; return its first byte and its size."""
    stream.readinto(buffer[:2])
    kind, size = buffer[0], buffer[1]
    if size > 127:
        stream.readinto(buffer[:1])
        size += (buffer[0] - 1) << 7
    stream.readinto(buffer[:size])
    return kind, size


def main():
    """Serve until the power goes."""
    machine.WDT(timeout=600_000)
    with open("/config.json") as file:
        config = json.load(file)
    prefix = config["prefix"].encode()
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.connect(config["networks"][0]["ssid"], config["networks"][0]["password"])
    while not wlan.isconnected():
        time.sleep(0.01)
    stream = socket.socket()
    broker = config["broker"]
    stream.connect(socket.getaddrinfo(broker["host"], broker["port"])[0][-1])
    stream.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
    stream.write(packet(0x10, name(b"MQTT") + b"\4\2\0\0" + name(b"raw-carrier")))
    stream.write(packet(0x82, b"\0\1" + name(prefix + b"/raw/+") + b"\0"))
    stream.write(packet(0x31, name(prefix + b"/mqb/status") + b'{"state": "online"}'))
    out = name(prefix + b"/raw/out")
    buffer = memoryview(bytearray(5120))
    piece = memoryview(bytearray(_PIECE))
    file, left = None, 0
    while True:
        kind, size = read_packet(stream, buffer)
        if kind & 0xF0 != 0x30:
            continue
        topic_size = buffer[0] << 8 | buffer[1]
        topic = bytes(buffer[2 : 2 + topic_size])
        data = buffer[2 + topic_size : size]
        if topic.endswith(b"/data"):
            file.write(data)
            left -= len(data)
            if not left:
                file.close()
                stream.write(packet(0x30, out + b"done"))
        elif topic.endswith(b"/put"):
            file, left = open("/raw.bin", "wb"), int(bytes(data))  # noqa: SIM115
        elif topic.endswith(b"/get"):
            with open("/raw.bin", "rb") as source:
                while True:
                    count = source.readinto(piece)
                    if not count:
                        break
                    stream.write(packet(0x30, out + piece[:count]))


main()
