"""Plays the broker of MQTT 5, packet by packet, for a client that runs in the same loop."""

import asyncio
import struct

from fakes import FakeLog, FakeStream, until

from mqboard.mqtt import packet
from mqboard.mqtt5 import Client
from mqboard.mqtt5 import properties as props


def frame(first, body=b""):
    """Make a packet of its first byte and its body."""
    head = bytearray(4)
    end = packet.put_length(head, 0, len(body))
    return bytes((first,)) + bytes(head[:end]) + body


def text(data):
    data = data.encode() if isinstance(data, str) else data
    return struct.pack(">H", len(data)) + data


def connack(code=0, given=None, session=0):
    return frame(0x20, bytes((session, code)) + props.encode(given, props.IN_CONNACK))


def publish(topic, payload, qos=0, packet_id=1, flags=0, given=None):
    body = text(topic) + (struct.pack(">H", packet_id) if qos else b"")
    body += props.encode(given, props.IN_PUBLISH) + payload
    return frame(0x30 | qos << 1 | flags, body)


def disconnect(code, given=None):
    return frame(0xE0, bytes((code,)) + props.encode(given, props.IN_DISCONNECT))


def split(data):
    """Return [(first byte, body)] of the whole packets in `data`."""
    packets = []
    position = 0
    while position < len(data):
        size, body = props.read_length(data, position + 1, len(data))
        packets.append((data[position], bytes(data[body : body + size])))
        position = body + size
    return packets


def parse_publish(first, body):
    """Return (topic, packet id, properties, payload) of a PUBLISH."""
    (size,) = struct.unpack(">H", body[:2])
    place = 2 + size
    packet_id = 0
    if first & 6:
        packet_id = body[place] << 8 | body[place + 1]
        place += 2
    start, stop = props.span(body, place, len(body))
    found = {}
    props.decode(body, start, stop, props.IN_PUBLISH, found)
    return str(body[2 : 2 + size], "utf-8"), packet_id, found, body[stop:]


class Peer5:
    """Makes streams for a client; each begins with `answers`, or the next of `turns`."""

    def __init__(self, answers=None, **options):
        self.streams = []
        self.servers = []  # the arguments that each stream was opened with
        self.answers = connack() if answers is None else answers
        self.turns = []
        self.log = FakeLog()
        self.got = []
        self.client = Client(self.open, "board", log=self.log, **options)
        self.client.backoff_ms = 20
        self.client.outbox.last_id = 0

    async def open(self, *server):
        stream = FakeStream()
        answers = self.turns.pop(0) if self.turns else self.answers
        if answers is None:
            stream.end()
        else:
            stream.feed(answers)
        self.servers.append(server)
        self.streams.append(stream)
        return stream

    @property
    def stream(self):
        return self.streams[-1]

    def handler(self, topic, payload, retained, *more):
        self.got.append((topic, bytes(payload), retained) + more)

    async def start(self):
        self.task = asyncio.create_task(self.client.run())
        await self.client.up.wait()

    def sent(self):
        """Return the packets on this connection behind the CONNECT."""
        return split(self.stream.sent)[1:]

    async def packets(self, count):
        """Wait for so many packets behind the CONNECT, and return them."""
        await until(lambda: len(self.sent()) >= count)
        return self.sent()[:count]

    async def subscribed(self, topic_filter="a/#", answer=b"\0\1", **options):
        """Subscribe, with `answer` behind the packet id of the SUBACK; return the SUBSCRIBE."""
        before = len(self.sent())
        subscribe = self.client.subscribe(topic_filter, self.handler, **options)
        task = asyncio.create_task(subscribe)
        await until(lambda: len(self.sent()) > before)
        first, body = self.sent()[before]
        assert first == 0x82
        self.stream.feed(frame(0x90, body[:2] + answer))
        await task
        return body
