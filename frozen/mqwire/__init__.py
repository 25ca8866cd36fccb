"""Defines what board and host agree on: topics, message headers, update records, status codes.

One package for both ends: frozen into the firmware and installed for the host, so that no constant
is written twice. It is pure: it imports only `struct` and itself.

This module: the protocol version, the topics, the sizes of both and of messages, and the two-byte
header of every command and reply. What characters a topic has is in mqwire.names, the limits of the
configuration are in mqwire.config.
Sources: docs/protocol.md; the command topics and the header are those of the first MQBoard.
"""

import struct

# 1: without COMPARING and VERIFYING (mqwire.update), and an offer sent again begins anew.
# 2: without broadcasts.
PROTOCOL = 3

# The largest payload either end sends in one message: one raw block record with room to spare.
# Longer commands travel as several messages.
MAX_PAYLOAD = 4352
MAX_BODY = 16384  # of a command: what all its messages carry together

# What a topic is made of, in bytes of UTF-8 (mqwire.names says of which characters).
MAX_PREFIX = 200
MAX_NAME = 64  # a command; an id
MAX_TAIL = 255
# The longest topic there is: that of a command with all these, as `command_topic` makes it.
MAX_TOPIC = MAX_PREFIX + len("/mqb/cmd/") + MAX_NAME + 1 + MAX_NAME + 1 + MAX_TAIL
# What a board receives in one piece: a PUBLISH of the largest payload to the longest topic. Its
# other fields are the first byte, the length (2 bytes), the topic's length, and the packet id.
MAX_PACKET = 1 + 2 + 2 + MAX_TOPIC + 2 + MAX_PAYLOAD

# Header of every command and reply: u16, bit 15 = last message, bits 0-14 = sequence number.
HEADER_SIZE = 2
MAX_SEQ = 0x7FFF
# A reply that is one message may carry this instead of (last, 0).
SINGLE = b"\xff\xff"

LOG_LETTERS = "DIWE"  # of the levels, mqwire.config.LOG_LEVELS

# Status JSON, `state` key: the birth message says online, the will says offline; a board that
# sleeps between its wakes (mqboard.power) has said that it is asleep, and when it wakes.
ONLINE = "online"
OFFLINE = "offline"
ASLEEP = "asleep"

# An error that begins so says that the board will not do it, and has done nothing.
REFUSED = "refused: "


class WireError(Exception):
    """Raised when what arrived is not what the protocol says."""


def header(seq, last):
    """Return the 2-byte header of message number `seq` (0 to 32767)."""
    return struct.pack(">H", (seq & MAX_SEQ) | (0x8000 if last else 0))


def parse_header(payload):
    """Return (seq, last) of a command or reply payload; raise WireError if it is too short.

    0xFFFF, which single-message replies may carry, reads as (0, True).
    """
    if len(payload) < HEADER_SIZE:
        raise WireError("payload has no header")
    if payload[0] == 0xFF and payload[1] == 0xFF:
        return 0, True
    (word,) = struct.unpack_from(">H", payload, 0)
    return word & MAX_SEQ, bool(word & 0x8000)


def command_filter(prefix):
    """Return the filter a board subscribes to for its commands."""
    return prefix + "/mqb/cmd/#"


def command_topic(prefix, command, ident, tail=""):
    """Return the topic of one command; `tail` is a file path or a hash."""
    topic = prefix + "/mqb/cmd/" + command + "/" + ident
    return topic + "/" + tail if tail else topic


def parse_command_topic(prefix, topic):
    """Return (command, id, tail) of a command topic, or None if `topic` is not one of `prefix`."""
    start = prefix + "/mqb/cmd/"
    if not topic.startswith(start):
        return None
    parts = topic[len(start) :].split("/", 2)
    if len(parts) < 2:
        return None
    command, ident, tail = parts[0], parts[1], parts[2] if len(parts) > 2 else ""
    for name in (command, ident):
        if not 0 < len(name.encode()) <= MAX_NAME:
            return None
    return None if len(tail.encode()) > MAX_TAIL else (command, ident, tail)


def reply_topic(prefix, ident):
    """Return the topic of the replies to command `ident`: header plus data."""
    return prefix + "/mqb/reply/out/" + ident


def error_topic(prefix, ident):
    """Return the topic of the error of command `ident`: text without a header."""
    return prefix + "/mqb/reply/err/" + ident


def status_topic(prefix):
    """Return the topic of the board's birth and will: retained JSON."""
    return prefix + "/mqb/status"


def blocks_topic(prefix, ident):
    """Return the default topic for the blocks of update command `ident`."""
    return prefix + "/mqb/blocks/" + ident


def crash_topic(prefix):
    """Return the topic of crash records: JSON, each published once."""
    return prefix + "/mqb/crash"


def log_topic(prefix):
    """Return the topic of the log: one line per message."""
    return prefix + "/log"


def log_line(level, time, logger, message):
    """Return a line of the log, for people and for mqwire.log.parse.

    `time` is UTC as 2026-05-01T12:00:00Z when the board's clock is trusted, or else the seconds
    since its start.
    """
    return "%s %s %s: %s" % (LOG_LETTERS[level], time, logger, message)
