"""Tests what holds for all MQTT packets: written and read, cut and joined anywhere, and damaged.

A million damaged streams: MQBOARD_FUZZ_CASES=1000000 pytest tests/host/mqtt
"""

import os
import random
import struct

import mqttpeer
from hypothesis import given, settings
from hypothesis import strategies as st

from mqboard.mqtt import Client, packet

CASES = int(os.environ.get("MQBOARD_FUZZ_CASES", "20000"))
RX_SIZE = 256

plain = st.characters(exclude_categories=["Cs"], exclude_characters="+#\0")
# The filter # does not match what begins with $.
topics = st.text(plain, min_size=1, max_size=12).filter(lambda topic: topic[0] != "$")
levels = st.text(st.sampled_from("ab$é"), max_size=2)
payloads = st.one_of(st.binary(max_size=40), st.integers(0, 700).map(lambda size: b"z" * size))
messages = st.tuples(
    topics, payloads, st.integers(0, 2), st.integers(1, 65535), st.sampled_from([0, 1, 8, 9])
)
strings = st.text(max_size=200).map(str.encode)


class Taken:
    """A handler that takes streams, and puts the messages together again."""

    def __init__(self):
        self.messages = []
        self.bytes = 0

    def __call__(self, topic, view, retained, position, total):
        if position == 0:
            self.messages.append([topic, b"", retained])
        assert position == len(self.messages[-1][1])
        self.messages[-1][1] += view
        self.bytes += len(view)
        assert position + len(view) <= total


@given(st.integers(0, 268435455))
def test_a_length_is_written_as_the_standard_says(value):
    buffer = bytearray(4)
    end = packet.put_length(buffer, 0, value)
    assert bytes(buffer[:end]) == mqttpeer.encode_length(value)
    assert packet.length_size(value) == end


@given(
    strings,
    st.integers(0, 65535),
    st.booleans(),
    st.none() | st.tuples(strings, st.binary(max_size=200), st.integers(0, 2), st.booleans()),
    st.none() | strings,
    st.none() | st.binary(max_size=200),
)
def test_a_connect_says_what_it_was_given(client_id, keepalive, clean, will, user, password):
    introduction = packet.introduction(client_id, keepalive, clean, will)
    data = bytes(packet.connect(introduction, user, password))
    ((first, body),) = mqttpeer.split(data)
    assert first == 0x10 and body[:7] == b"\x00\x04MQTT\x04"
    flags, seconds = struct.unpack(">BH", body[7:10])
    assert seconds == keepalive
    wanted = [client_id, *(will[:2] if will else ()), user, password]
    assert body[10:] == b"".join(mqttpeer.text(part) for part in wanted if part is not None)
    assert flags == (
        clean << 1
        | (4 | will[2] << 3 | will[3] << 5 if will else 0)
        | (0x40 if password is not None else 0)
        | (0x80 if user is not None else 0)
    )


@given(topics, payloads, st.booleans())
def test_a_published_message_is_read_again(topic, payload, retain):
    client = Client(None, "host")
    stream = mqttpeer.Recorded(b"")
    client.reader.attach(stream)
    client.connected = True
    assert mqttpeer.finish(client.publish(topic, payload, retain=retain)) is True
    assert bytes(stream.sent) == mqttpeer.publish(topic, payload, flags=int(retain))
    taken = Taken()
    mqttpeer.read(mqttpeer.make_client(taken), mqttpeer.Recorded(bytes(stream.sent)))
    assert taken.messages == [[topic, payload, retain]]


@given(st.lists(messages, max_size=12), st.lists(st.integers(1, 600), max_size=80))
@settings(deadline=None)
def test_messages_are_the_same_however_the_bytes_arrive(given_messages, sizes):
    data = b"".join(mqttpeer.publish(*message) for message in given_messages)
    taken = Taken()
    stream = mqttpeer.Recorded(data, sizes)
    client = mqttpeer.make_client(taken, RX_SIZE)
    assert isinstance(mqttpeer.read(client, stream), EOFError)
    held = set()
    expected, answers = [], []
    for topic, payload, qos, packet_id, flags in given_messages:
        if qos < 2 or packet_id not in held:
            expected.append([topic, payload, bool(flags & 1)])
        if qos:
            answers.append((0x40 if qos == 1 else 0x50, struct.pack(">H", packet_id)))
        if qos == 2:
            held.add(packet_id)
    # An empty payload that the buffer could not hold has no pieces; there is none so large.
    assert taken.messages == expected
    assert mqttpeer.split(bytes(stream.sent)) == answers


@given(st.lists(messages, min_size=1, max_size=6), st.lists(st.integers(1, 600), max_size=40))
def test_without_a_stream_handler_large_messages_are_passed_over(given_messages, sizes):
    got = []
    client = mqttpeer.make_client(
        lambda topic, view, retained: got.append((topic, bytes(view))), RX_SIZE, stream=False
    )
    packets = [mqttpeer.publish(*message) for message in given_messages]
    stream = mqttpeer.Recorded(b"".join(packets), sizes)
    assert isinstance(mqttpeer.read(client, stream), EOFError)
    held = set()
    large = expected = 0
    for message, data in zip(given_messages, packets, strict=True):
        again = message[2] == 2 and message[3] in held
        if message[2] == 2:
            held.add(message[3])
        if not again:
            large += len(data) > RX_SIZE
            expected += len(data) <= RX_SIZE
    assert (len(got), client.oversized) == (expected, large)
    answered = [message for message in given_messages if message[2]]
    assert len(mqttpeer.split(bytes(stream.sent))) == len(answered)


def matches_by_the_book(wanted, levels):
    """Match as 4.7 says, one level after the other."""
    if not wanted:
        return not levels
    if wanted[0] == "#":
        return True
    if not levels:
        return False
    return wanted[0] in ("+", levels[0]) and matches_by_the_book(wanted[1:], levels[1:])


@given(
    st.lists(levels | st.just("+"), min_size=1, max_size=4),
    st.booleans(),
    st.lists(levels, min_size=1, max_size=4),
)
@settings(max_examples=500)
def test_filters_match_as_the_standard_says(wanted, many, levels):
    wanted = wanted + ["#"] if many else wanted
    topic_filter, topic = "/".join(wanted), "/".join(levels)
    expected = matches_by_the_book(wanted, levels)
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        expected = False
    assert packet.matches(topic_filter, topic) is expected


CORPUS = [
    mqttpeer.publish("a", b""),
    mqttpeer.publish("a/b", b"payload", 1, 7),
    mqttpeer.publish("a/ä", b"x" * 130, 2, 8, 1),
    mqttpeer.publish("large", b"y" * 700, 1, 9),
    mqttpeer.publish("large", b"y" * 300, 2, 10, 8),
    mqttpeer.publish("long" * 100, b"z" * 50, 1, 11),
    *(mqttpeer.frame(first, b"\0\x07") for first in (0x40, 0x50, 0x62, 0x70, 0xB0)),
    mqttpeer.frame(0x90, b"\0\x07\x01"),
    mqttpeer.frame(0xD0, b""),
    mqttpeer.frame(0x20, b"\0\0"),
]
BYTES = (0, 1, 2, 0x2B, 0x23, 0x30, 0x32, 0x34, 0x36, 0x7F, 0x80, 0xFF)


def damage(source, data):
    """Change, insert or take away a few bytes."""
    data = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 5))):
        position = source.randrange(len(data) + 1) if source.random() < 0.5 else source.randrange(8)
        byte = source.choice(BYTES) if source.random() < 0.7 else source.randrange(256)
        kind = source.randrange(4)
        if kind == 0:
            data[position : position + 1] = bytes((byte,))
        elif kind == 1:
            data[position:position] = bytes((byte,))
        elif kind == 2:
            del data[position : position + source.choice((1, 2, 100))]
        else:
            data[position : position + 1] = (
                bytes((data[position] ^ 1 << byte % 8,)) if (position < len(data)) else b""
            )
    return bytes(data)


def test_damaged_packets_are_an_error_and_nothing_else():
    source = random.Random(20261120)
    taken = Taken()
    client = mqttpeer.make_client(taken, RX_SIZE)
    ends = []
    for case in range(CASES):
        data = b"".join(source.choices(CORPUS, k=source.randrange(1, 4)))
        data = damage(source, data)
        before = taken.bytes
        taken.messages.clear()
        sizes = [source.randrange(1, 100) for _ in range(source.choice((0, 0, 5)))]
        stream = mqttpeer.Recorded(data, sizes)
        error = mqttpeer.read(client, stream)
        assert isinstance(error, EOFError | packet.PacketError), (case, data, error)
        assert taken.bytes - before <= len(data), (case, data)
        assert len(stream.sent) <= 4 * len(data), (case, data)
        assert client.writer.busy is False
        ends.append(type(error))
        if source.random() < 0.1:
            client.forget_connection()
    # The damage was neither too little nor too much to be a test.
    assert 0.1 < ends.count(EOFError) / CASES < 0.9
    assert taken.bytes > 10 * CASES
