"""Packs and unpacks an update on the wire: the request, the block records, and the board's replies.

    host  -> cmd/update/<id>      request: offer, signature, options        (header + parts)
    board -> reply/out/<id>       COMPARING, how many blocks are compared       (if asked for)
    board -> reply/out/<id>       RECEIVING, credit, bitmap of needed blocks
    host  -> <blocks topic>       records (block number, encoding, length, data), no header
    board -> reply/out/<id>       RECEIVING again, as blocks are written
    board -> reply/out/<id>       VERIFYING, how many blocks are read back      (if asked for)
    board -> reply/out/<id>       with the last bit: INSTALLED, or why not

Every reply says the whole truth (which blocks are still needed, how many block messages were
received since the offer, how many more may be in flight), so that a lost one does no harm and a
repeated offer is all it takes to resume.
"""

import struct

from mqwire import MAX_BODY, WireError
from mqwire.codes import (  # noqa: F401 (who speaks of updates finds them here)
    ALREADY_RUNNING,
    BAD_SIGNATURE,
    BUSY,
    CANCELLED,
    COMPARING,
    CRASH,
    FAILED,
    FAILED_BEFORE,
    FLASH_ERROR,
    IMAGE_HASH,
    IMAGE_INVALID,
    INSTALLED,
    MALFORMED,
    NO_BROKER,
    NO_MEMORY,
    NO_NETWORK,
    POWER_LOST,
    RECEIVING,
    REFUSED,
    ROLLED_BACK,
    TOO_LARGE,
    TOO_OLD,
    UNCONFIRMED,
    UNHEALTHY,
    UNKNOWN_KEY,
    UNREACHABLE,
    VERIFYING,
    WATCHDOG,
    WRONG_BASE,
    WRONG_BOARD,
    WRONG_MCU,
)
from mqwire.offer import (  # noqa: F401
    EXPONENT,
    KEY_NAME_SIZE,
    MAX_VERSION,
    OFFER_BEGINNING,
    OFFER_FORMAT,
    SIGNATURE_SIZE,
)

BLOCK_SIZE = 4096
# A block's hash in the offer: this many leading bytes of the SHA-256 of the 4096-byte block,
# the last one padded with 0xFF as it will stand in flash.
HASH_SIZE = 4
# Encodings of a block record.
RAW = 0
DEFLATE = 1  # raw deflate (RFC 1951), decodable with a 1 KiB window
DELTA = 2  # several blocks in a row: their number (u8), and instructions as raw deflate
XOR = 3  # the sum of several blocks: how many (u8), their numbers (u16 each), and 4096 bytes
# With 4 KiB, blocks would be 2 % smaller; as differences they would not.
WINDOW_BITS = 10
DELTA_HEADER = 1
MAX_SUMMED = 32  # blocks: a board reads all but one of them while it takes the message
MAX_DATA = BLOCK_SIZE  # of a record, but for a sum
# Deflate data ends with a flush to a byte boundary, without the flush's last four bytes.
FLUSH = b"\x00\x00\xff\xff"

# What the topics of blocks begin with that are not below one board's prefix.
STREAM_ROOT = "mqboard"
# Of a broadcast: where its request is retained, below the topic of its blocks. That one's last
# level is so many characters of the URL-safe base64 of the request's SHA-256.
STREAM_OFFER = "/offer"
STREAM_NAME_SIZE = 16

_PART = ">H"
_RECORD = ">HBH"
RECORD_SIZE = 5
# An instruction makes the next bytes of a block from the running image, or from what follows:
# how many bytes (u16), how many patches follow (u16, or LITERAL: these very bytes follow), and how
# far from their place in the new image their source is in the running one (i32). A patch is two
# bytes: how many bytes to go on, and what is then added (signed) to the little-endian number that
# begins there, whose carries go as far as they go, at most to the instruction's end. The next
# patch goes on behind that number's first byte. Patches come in batches, in which all first bytes
# stand before all second ones.
_INSTRUCTION = ">HHi"
INSTRUCTION_SIZE = 8
LITERAL = 0xFFFF
BATCH = 128  # patches
_PROGRESS = ">HH"
_REPLY = ">BBH"
REPLY_SIZE = 4


def pack_request(offer, signature=b"", options=b"{}"):
    """Make the body of an update command: three byte strings, each behind its u16 length.

    `offer` is image.json to the byte (the signature is over these bytes), `options` is a JSON
    object that concerns this transfer only: {"topic": where the blocks will arrive,
    "retry_failed": true to take an image that was rolled back before,
    "progress": true to be told how far comparing and verifying are,
    "base": hex SHA-256 of the running image that DELTA records are made against}.
    {"stream": topic} without an offer sends the board to a broadcast, whose request is retained
    at that topic + STREAM_OFFER.
    Raises WireError when it is too long for a command.
    """
    parts = offer, signature, options
    size = sum([struct.calcsize(_PART) + len(part) for part in parts])
    if size > MAX_BODY:
        raise WireError("it takes %d bytes; %d is the most" % (size, MAX_BODY))
    return b"".join([struct.pack(_PART, len(part)) + part for part in parts])


def unpack_request(body):
    """Return (offer, signature, options) as views of `body`; raise WireError if cut."""
    view = memoryview(body)
    parts = []
    position = 0
    for _ in range(3):
        if position + 2 > len(view):
            raise WireError("update request is cut short")
        (length,) = struct.unpack_from(_PART, view, position)
        position += 2
        if position + length > len(view):
            raise WireError("update request is cut short")
        parts.append(view[position : position + length])
        position += length
    if position != len(view):
        raise WireError("update request has bytes to spare")
    return tuple(parts)


def stream_name(digest):
    """Return the last level of a broadcast's topic: `digest` is base64 of its request's SHA-256."""
    name = str(digest[:STREAM_NAME_SIZE], "ascii")
    return name.replace("+", "-").replace("/", "_")


def pack_record(number, encoding, data):
    """Make one block record; several of them make a block message."""
    return struct.pack(_RECORD, number, encoding, len(data)) + data


def unpack_record(message, position):
    """Return (number, encoding, start, end) of the record at `position`; raise WireError if cut."""
    if position + RECORD_SIZE > len(message):
        raise WireError("block record is cut short")
    number, encoding, length = struct.unpack_from(_RECORD, message, position)
    start = position + RECORD_SIZE
    if start + length > len(message):
        raise WireError("block record is cut short")
    return number, encoding, start, start + length


def blocks_in(encoding, data):
    """Return how many blocks, one behind the other, a record is about."""
    return data[0] if encoding == DELTA and len(data) else 1


def pack_instruction(length, patches, distance):
    """Make the head of one instruction."""
    return struct.pack(_INSTRUCTION, length, patches, distance)


def unpack_instruction(head):
    """Return (length, patches, distance)."""
    return struct.unpack(_INSTRUCTION, head)


def pack_reply(code, credit=0, received=0, body=b""):
    """Make one reply, without the message header.

    `credit`: block messages that may be in flight; `received`: block messages received since the
    offer, modulo 65536. `body`: with RECEIVING the bitmap of needed blocks (bit 7 of byte 0 is
    block 0), or in a broadcast nothing for all of them; with COMPARING and VERIFYING a progress,
    with any other code a UTF-8 detail for humans, often empty.
    """
    return struct.pack(_REPLY, code, credit, received & 0xFFFF) + body


def unpack_reply(payload):
    """Return (code, credit, received, body); raise WireError if `payload` is too short."""
    if len(payload) < REPLY_SIZE:
        raise WireError("update reply is cut short")
    code, credit, received = struct.unpack_from(_REPLY, payload, 0)
    return code, credit, received, bytes(payload[REPLY_SIZE:])


def pack_progress(done, total):
    """Return the body of a COMPARING or VERIFYING reply: how many of all blocks are done."""
    return struct.pack(_PROGRESS, done, total)


def unpack_progress(body):
    """Return (done, total); raise WireError if `body` is not two numbers."""
    if len(body) != 4:
        raise WireError("progress is not two numbers")
    return struct.unpack(_PROGRESS, body)


def bitmap_get(bitmap, number):
    """Return whether block `number` is set."""
    return bool(bitmap[number >> 3] & (0x80 >> (number & 7)))


def bitmap_put(bitmap, number, value):
    """Set or clear block `number`."""
    bit = 0x80 >> (number & 7)
    if value:
        bitmap[number >> 3] |= bit
    else:
        bitmap[number >> 3] &= ~bit & 0xFF
