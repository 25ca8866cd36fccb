"""Encodes MQTT 3.1.1 packets into a caller's buffer, and decodes their small parts.

Pure functions without state, the same on CPython and MicroPython. Section numbers refer to the
OASIS standard "MQTT Version 3.1.1" of 29 October 2014.
"""

import struct

from micropython import const

CONNECT = const(0x10)
CONNACK = const(0x20)
PUBLISH = const(0x30)
PUBACK = const(0x40)
PUBREC = const(0x50)
PUBREL = const(0x62)
PUBCOMP = const(0x70)
SUBSCRIBE = const(0x82)
SUBACK = const(0x90)
UNSUBSCRIBE = const(0xA2)
UNSUBACK = const(0xB0)
PINGREQ = const(0xC0)
PINGRESP = const(0xD0)
DISCONNECT = const(0xE0)

DUP = const(0x08)
RETAIN = const(0x01)

_FLAGS = const(7)  # where they stand in the body of a CONNECT
_MAX_STRING = const(65535)
_MAX_REMAINING = const(268435455)

# CONNACK return codes (3.2.2.3).
REFUSALS = (
    "",
    "protocol version not accepted",
    "client id rejected",
    "server unavailable",
    "bad user name or password",
    "not authorised",
)


class PacketError(Exception):
    """Raised for bytes that are no MQTT packet, and for arguments that make none."""


def put_length(buffer, position, value):
    """Write `value` as a remaining length (2.2.3) at `position`; return the position behind it."""
    if not 0 <= value <= _MAX_REMAINING:
        raise PacketError("packet too long")
    while value > 127:
        buffer[position] = (value & 127) | 128
        position += 1
        value >>= 7
    buffer[position] = value
    return position + 1


def length_size(value):
    """Return how many bytes the remaining length `value` takes."""
    return 1 if value < 128 else 2 if value < 16384 else 3 if value < 2097152 else 4


def put_string(buffer, position, data):
    """Write `data` (bytes) behind its u16 length (1.5.3); return the position behind it."""
    length = len(data)
    if length > _MAX_STRING:
        raise PacketError("string too long")
    struct.pack_into(">H", buffer, position, length)
    position += 2
    buffer[position : position + length] = data
    return position + length


def introduction(client_id, keepalive, clean, will):
    """Make what a CONNECT (3.1) says apart from the login: its body, with flags and all that do
    without one. Strings are bytes; `will` is (topic, payload, qos, retain) or None.
    """
    flags = 0x02 if clean else 0
    parts = [client_id]
    if will:
        topic, payload, qos, retain = will
        flags |= 0x04 | qos << 3 | (0x20 if retain else 0)
        parts += [topic, payload]
    body = bytearray(10 + sum([2 + len(part) for part in parts]))
    position = put_string(body, 0, b"MQTT")
    struct.pack_into(">BBH", body, position, 4, flags, keepalive)
    position += 4
    for part in parts:
        position = put_string(body, position, part)
    return body


def connect(body, user, password):
    """Make a CONNECT (3.1) of an `introduction` and a login, in bytes or None."""
    login = [part for part in (user, password) if part is not None]
    remaining = len(body) + sum([2 + len(part) for part in login])
    packet = bytearray(1 + length_size(remaining) + remaining)
    packet[0] = CONNECT
    position = put_length(packet, 1, remaining)
    packet[position : position + len(body)] = body
    flags = (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    packet[position + _FLAGS] |= flags
    position += len(body)
    for part in login:
        position = put_string(packet, position, part)
    return packet


def subscribe(kind, packet_id, topic_filter, qos=None):
    """Make a SUBSCRIBE (3.8) or, without `qos`, UNSUBSCRIBE (3.10) for one filter (bytes)."""
    remaining = 4 + len(topic_filter) + (0 if qos is None else 1)
    packet = bytearray(1 + length_size(remaining) + remaining)
    packet[0] = kind
    position = put_length(packet, 1, remaining)
    struct.pack_into(">H", packet, position, packet_id)
    position = put_string(packet, position + 2, topic_filter)
    if qos is not None:
        packet[position] = qos
    return packet


def topic_head(topic):
    """Return `topic` as bytes behind its length; PacketError unless one can publish to it (4.7)."""
    data = topic.encode()
    if not 0 < len(data) <= _MAX_STRING or b"+" in data or b"#" in data or b"\0" in data:
        raise PacketError("no topic to publish to: %.40s" % topic)
    return struct.pack(">H", len(data)) + data


def check_filter(topic_filter):
    """Raise PacketError unless one can subscribe to `topic_filter` (4.7)."""
    levels = topic_filter.encode().split(b"/")
    last = levels.pop()
    good = last in (b"+", b"#") or b"+" not in last and b"#" not in last
    for level in levels:
        good = good and (level == b"+" or b"+" not in level and b"#" not in level)
    if not good or not 0 < len(topic_filter.encode()) <= _MAX_STRING or "\0" in topic_filter:
        raise PacketError("no topic filter: %.40s" % topic_filter)


def matches(topic_filter, topic):
    """Return whether `topic` matches a filter with + and # (4.7). A $ in front needs a $."""
    if topic_filter[:7] == "$share/":  # its messages come by the filter behind the group's name
        topic_filter = topic_filter.split("/", 2)[-1]
    if topic_filter == topic:
        return True
    if topic[:1] == "$" and topic_filter[:1] in ("+", "#"):
        return False
    if topic_filter[-2:] == "/#" and "+" not in topic_filter:
        stem = topic_filter[:-2]
        return topic == stem or topic.startswith(topic_filter[:-1])
    wanted = topic_filter.split("/")
    levels = topic.split("/")
    for index, part in enumerate(wanted):
        if part == "#":
            return True
        if index >= len(levels) or (part != "+" and part != levels[index]):
            return False
    return len(wanted) == len(levels)
