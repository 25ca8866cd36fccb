"""Encodes and decodes the properties of MQTT 5 packets: a dict of identifiers and values.

A value is an int, a str, or bytes, as the standard has it; that of USER is a list of pairs of str
(a dict will do where we send), that of SUBSCRIPTION_ID a list of ints where we receive. Section
numbers refer to the OASIS standard "MQTT Version 5.0" of 7 March 2019; this is its 2.2.2.
"""

import struct

from micropython import const

from mqboard.mqtt.packet import PacketError, length_size, put_length

PAYLOAD_FORMAT = const(0x01)
MESSAGE_EXPIRY = const(0x02)
CONTENT_TYPE = const(0x03)
RESPONSE_TOPIC = const(0x08)
CORRELATION_DATA = const(0x09)
SUBSCRIPTION_ID = const(0x0B)
SESSION_EXPIRY = const(0x11)
ASSIGNED_CLIENT_ID = const(0x12)
SERVER_KEEP_ALIVE = const(0x13)
REQUEST_PROBLEM_INFO = const(0x17)
WILL_DELAY = const(0x18)
REQUEST_RESPONSE_INFO = const(0x19)
RESPONSE_INFO = const(0x1A)
SERVER_REFERENCE = const(0x1C)
REASON_STRING = const(0x1F)
RECEIVE_MAXIMUM = const(0x21)
TOPIC_ALIAS_MAXIMUM = const(0x22)
TOPIC_ALIAS = const(0x23)
MAXIMUM_QOS = const(0x24)
RETAIN_AVAILABLE = const(0x25)
USER = const(0x26)
MAXIMUM_PACKET_SIZE = const(0x27)
WILDCARD_AVAILABLE = const(0x28)
SUBSCRIPTION_IDS_AVAILABLE = const(0x29)
SHARED_AVAILABLE = const(0x2A)

# Where a property may stand: bits, since many may stand in several packets.
IN_CONNECT = const(1)
IN_CONNACK = const(2)
IN_PUBLISH = const(4)
IN_ANSWER = const(8)  # PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK
IN_SUBSCRIBE = const(16)
IN_UNSUBSCRIBE = const(32)
IN_DISCONNECT = const(64)
IN_WILL = const(128)

# By identifier: "b"yte, "h" two bytes, "i" four, "v"ariable length, "d"ata, "s"tring, "p"air.
_KINDS = b" bis    sd v     ish sdbibs s  s hhhbbpibbb"
# By identifier: the packets (table 2-4). Of authentication (0x15, 0x16) we send nothing.
_PLACES = (
    b"\x00\x84\x84\x84\x00\x00\x00\x00\x84\x84\x00\x14\x00\x00\x00\x00"
    b"\x00\x43\x02\x02\x00\x02\x02\x01\x80\x01\x02\x00\x42\x00\x00\x4a"
    b"\x00\x03\x03\x04\x02\x02\xff\x03\x02\x02\x02"
)
# Of these no value may be 0.
_POSITIVE = (SUBSCRIPTION_ID, RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE, TOPIC_ALIAS)
_MOST_KEPT = const(32)  # of one message: a publisher's five bytes cost a board's heap fifty

# Reason codes (2.4) for what is wrong with a packet.
MALFORMED = const(0x81)
PROTOCOL_ERROR = const(0x82)
ALIAS_INVALID = const(0x94)

NONE = b"\0"  # no properties, with their length


class Fault(PacketError):
    """Raised for what a broker must not send; `code` is the reason for which we hang up (2.4)."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def encode(properties, place):
    """Return `properties` as bytes, with their length in front. ValueError names what is wrong: one
    that does not belong into packets of this `place`, or whose value is not of its kind.
    """
    if not properties:
        return NONE
    data = bytearray()
    for ident, value in properties.items():
        kind = _kind(ident, place)
        if not kind:
            raise ValueError("property %r does not belong here" % (ident,))
        try:
            if ident == USER:
                for pair in value.items() if isinstance(value, dict) else value:
                    _add(data, ident, kind, pair)
            else:
                _add(data, ident, kind, value)
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError("property 0x%02x cannot be %r: %s" % (ident, value, error))
    head = bytearray(length_size(len(data)))
    put_length(head, 0, len(data))
    return bytes(head + data)


def of_message(given):
    """Return the properties of a message of ours, encoded. ValueError: also for those that only a
    broker sends (MQTT-3.3.4-6), and for aliases, which the client gives by itself.
    """
    for ident in (TOPIC_ALIAS, SUBSCRIPTION_ID):
        if given and ident in given:
            raise ValueError("property 0x%02x is not for us to send" % ident)
    answers_to = (given or {}).get(RESPONSE_TOPIC, "-")
    if "+" in answers_to or "#" in answers_to or not answers_to:
        raise ValueError("property 0x08 is no topic to publish to")
    return encode(given, IN_PUBLISH)


def _kind(ident, place):
    """Return the kind of a property, 0 for one that is not known or not of this place."""
    known = isinstance(ident, int) and 0 <= ident < len(_KINDS)
    return _KINDS[ident] if known and _PLACES[ident] & place else 0


def _add(data, ident, kind, value):
    data.append(ident)
    if kind == 115:  # s
        _add_data(data, _text(value))
    elif kind == 100:  # d
        if isinstance(value, str):  # MicroPython would take its bytes
            raise ValueError("it must be bytes")
        _add_data(data, bytes(memoryview(value)))
    elif kind == 112:  # p
        name, value = value
        _add_data(data, _text(name))
        _add_data(data, _text(value))
    elif isinstance(value, bool) and kind != 98 or not isinstance(value, int):
        raise ValueError("it must be a number")
    else:
        _check_number(ident, kind, value)
        if kind == 118:  # v
            head = bytearray(length_size(value))
            put_length(head, 0, value)
            data.extend(head)
        else:
            data.extend(int(value).to_bytes(_size(kind), "big"))


def _check_number(ident, kind, value):
    most = 1 if kind == 98 else 0xFFFF if kind == 104 else 0xFFFFFFFF if kind == 105 else 0xFFFFFFF
    least = 1 if ident in _POSITIVE else 0
    if not least <= value <= most:
        raise ValueError("it must be from %d to %d" % (least, most))


def _size(kind):
    """Return how many bytes a number takes, or the length in front of data."""
    return 1 if kind == 98 else 4 if kind == 105 else 2


def _text(value):
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("it must be a text without NUL")
    return value.encode()


def _add_data(data, piece):
    if len(piece) > 0xFFFF:
        raise ValueError("it is longer than 65535 bytes")
    data.extend(struct.pack(">H", len(piece)))
    data.extend(piece)


def read_length(buffer, position, stop):
    """Return (the variable byte integer (1.5.5) at `position`, the position behind it).

    It ends before `stop`, or it is a Fault.
    """
    value = shift = 0
    while position < stop and shift < 28:
        byte = buffer[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise Fault(MALFORMED, "malformed length")


def span(buffer, position, stop):
    """Return (where properties begin, where they end): their length is at `position`. Fault."""
    size, start = read_length(buffer, position, stop)
    if start + size > stop:
        raise Fault(MALFORMED, "properties longer than their packet")
    return start, start + size


def decode(buffer, start, stop, place, found=None):
    """Check the properties in start:stop of `buffer`, and put them into the dict `found`, if given.

    Returns the topic alias among them, or 0. Of USER and SUBSCRIPTION_ID the first 32 are kept.
    Raises Fault.
    """
    seen = alias = 0
    while start < stop:
        ident = buffer[start]
        kind = _kind(ident, place)
        if not kind:
            raise Fault(MALFORMED, "property 0x%02x does not belong here" % ident)
        many = ident == USER or ident == SUBSCRIPTION_ID and place == IN_PUBLISH
        bit = 1 << ident % 31  # no two of one packet have the same
        if seen & bit and not many:
            raise Fault(PROTOCOL_ERROR, "property 0x%02x twice" % ident)
        seen |= bit
        value, start = _value(buffer, start + 1, stop, kind)
        if isinstance(value, int):
            _check_received(ident, kind, value)
        if ident == TOPIC_ALIAS:
            alias = value
        elif ident == RESPONSE_TOPIC and (not value or "+" in value or "#" in value):
            raise Fault(PROTOCOL_ERROR, "a response topic with wildcards, or none")
        if found is None:
            continue
        if not many:
            found[ident] = value
        elif len(found.setdefault(ident, [])) < _MOST_KEPT:
            found[ident].append(value)
    return alias


def _check_received(ident, kind, value):
    if kind == 98 and value > 1 or not value and ident in _POSITIVE:
        code = ALIAS_INVALID if ident == TOPIC_ALIAS else PROTOCOL_ERROR
        raise Fault(code, "property 0x%02x is %d" % (ident, value))


def _value(buffer, start, stop, kind):
    """Return (a value of this kind, the position behind it)."""
    if kind == 118:  # v
        return read_length(buffer, start, stop)
    if kind == 112:  # p
        name, start = _value(buffer, start, stop, 115)
        value, start = _value(buffer, start, stop, 115)
        return (name, value), start
    end = start + _size(kind)
    if end > stop:
        raise Fault(MALFORMED, "a property beyond its packet")
    number = int.from_bytes(buffer[start:end], "big")
    if kind not in b"ds":
        return number, end
    start, end = end, end + number
    if end > stop:
        raise Fault(MALFORMED, "a property beyond its packet")
    data = bytes(buffer[start:end])
    if kind == 115:  # s
        try:
            data = str(data, "utf-8")
        except ValueError:
            raise Fault(MALFORMED, "no UTF-8 in a property")
        if "\0" in data:
            raise Fault(MALFORMED, "NUL in a property")
    return data, end
