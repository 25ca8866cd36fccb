"""Makes and reads MQTT 5 packets where they differ from those of 3.1.1 (mqboard.mqtt.packet).

Pure functions without state. Section numbers refer to the OASIS standard "MQTT Version 5.0".
"""

import struct

from micropython import const

from mqboard.mqtt.connection import MqttError
from mqboard.mqtt.packet import CONNECT, length_size, put_length, put_string
from mqboard.mqtt5 import properties as props

AUTH = const(0xF0)

# Reason codes (2.4) that change what we do next.
NORMAL = const(0x00)
WITH_WILL = const(0x04)
REFUSED = const(0x80)  # from here on
UNSUPPORTED_VERSION = const(0x84)
OLD_UNSUPPORTED_VERSION = const(0x01)  # what a server for 3.1.1 answers with
QUOTA_EXCEEDED = const(0x97)
RECEIVE_MAXIMUM_EXCEEDED = const(0x93)
PACKET_TOO_LARGE = const(0x95)
RETAIN_UNSUPPORTED = const(0x9A)
QOS_UNSUPPORTED = const(0x9B)
USE_ANOTHER_SERVER = const(0x9C)
SERVER_MOVED = const(0x9D)
SHARED_UNSUPPORTED = const(0x9E)
SUBSCRIPTION_IDS_UNSUPPORTED = const(0xA1)
WILDCARD_UNSUPPORTED = const(0xA2)

# For these a broker hangs up whatever we had sent before.
NOT_OURS = b"\x00\x80\x88\x89\x8b\x8d\x8e\x98\x9c\x9d\x9f\xa0"


class Refusal(MqttError):
    """Raised when the broker says no, and why: `code` is the standard's reason code (2.4), `reason`
    the broker's own words, or "".
    """

    def __init__(self, what, code, reason=""):
        from mqboard.mqtt5.reasons import text  # 1 KB of words, for who wants to read them

        words = "%s: %s (0x%02x)" % (what, text(code), code)
        super().__init__(words + ": " + reason if reason else words)
        self.code = code
        self.reason = reason


def connect(client_id, keepalive, clean_start, given, will, user, password):
    """Make a CONNECT (3.1). `given` are its properties, encoded; strings are bytes; `will` is
    (topic, payload, qos, retain, encoded properties) or None; `user` and `password` may be None.
    """
    flags = 0x02 if clean_start else 0
    parts = [_string(client_id)]
    if will:
        topic, payload, qos, retain, data = will
        flags |= 0x04 | qos << 3 | (0x20 if retain else 0)
        parts += [data, _string(topic), _string(payload)]
    for part, flag in ((user, 0x80), (password, 0x40)):
        if part is not None:
            flags |= flag
            parts.append(_string(part))
    head = _string(b"MQTT") + struct.pack(">BBH", 5, flags, keepalive) + given
    return framed(CONNECT, head + b"".join(parts))


def framed(first, body):
    """Return a packet: its first byte, the length of the body, the body."""
    packet = bytearray(1 + length_size(len(body)))
    packet[0] = first
    put_length(packet, 1, len(body))
    return bytes(packet) + body


def subscribe(kind, packet_id, topic_filter, given, options=None):
    """Make a SUBSCRIBE (3.8) or, without `options`, UNSUBSCRIBE (3.10) for one filter (bytes)."""
    body = struct.pack(">H", packet_id) + given + _string(topic_filter)
    return framed(kind, body if options is None else body + bytes((options,)))


def read_connack(buffer, start, stop):
    """Return (session present, reason code, properties) of a CONNACK's body (3.2). Fault."""
    if stop - start < 2 or buffer[start] > 1:
        raise props.Fault(props.MALFORMED, "malformed CONNACK")
    code, found = buffer[start + 1], {}
    if stop - start > 2:
        first, end = props.span(buffer, start + 2, stop)
        if end != stop:
            raise props.Fault(props.MALFORMED, "malformed CONNACK")
        props.decode(buffer, first, end, props.IN_CONNACK, found)
    elif not code:
        raise props.Fault(props.MALFORMED, "a CONNACK without properties")
    return buffer[start] == 1, code, found


def read_reason(buffer, start, stop, place):
    """Return (reason code, properties) at the end of an acknowledgement or a DISCONNECT (3.4.2,
    3.14.2), where one may be missing, or both. Fault.
    """
    found = {}
    if start == stop:
        return NORMAL, found
    if stop - start > 1:
        first, end = props.span(buffer, start + 1, stop)
        if end != stop:
            raise props.Fault(props.MALFORMED, "bytes behind the properties")
        props.decode(buffer, first, end, place, found)
    return buffer[start], found


def read_reasons(buffer, start, stop):
    """Return (reason code, properties) of a SUBACK or an UNSUBACK for one filter (3.9.2). Fault."""
    found = {}
    first, end = props.span(buffer, start, stop)
    props.decode(buffer, first, end, props.IN_ANSWER, found)
    if stop - end != 1:
        raise props.Fault(props.PROTOCOL_ERROR, "%d reasons for one filter" % (stop - end))
    return buffer[end], found


def read_server(reference):
    """Return (host, port or None) of the first server in a Server Reference (4.13); None if it is
    none.
    """
    words = reference.split()
    host = words[0] if words else ""
    port = ""
    if host.startswith("["):
        host, _, port = host[1:].partition("]")
        port = port[1:]
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    try:
        number = int(port) if port else None
    except ValueError:
        return None
    good = host and (number is None or 0 < number < 65536)
    return (host, number) if good else None


def _string(data):
    packed = bytearray(2 + len(data))
    put_string(packed, 0, data)
    return bytes(packed)
