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

BLOCK_SIZE = 4096
# A block's hash in the offer: this many leading bytes of the SHA-256 of the 4096-byte block,
# the last one padded with 0xFF as it will stand in flash.
HASH_SIZE = 4
OFFER_FORMAT = 1
# An offer's signature: RSA-3072, PKCS#1 v1.5, SHA-256, over the exact bytes of image.json.
SIGNATURE_SIZE = 384
EXPONENT = 65537
# A key goes by its name: so many hex digits of the SHA-256 of its modulus. An offer begins with its
# format and that name, where a board finds them before it parses the rest.
KEY_NAME_SIZE = 16
OFFER_BEGINNING = b'{"format":1,"key":"'
MAX_VERSION = 64  # bytes of UTF-8

# Encodings of a block record.
RAW = 0
DEFLATE = 1  # raw deflate (RFC 1951), decodable with a 1 KiB window
DELTA = 2  # several blocks in a row: their number (u8), and instructions as raw deflate
# With 4 KiB, blocks would be 2 % smaller; as differences they would not.
WINDOW_BITS = 10
DELTA_HEADER = 1
MAX_DATA = BLOCK_SIZE  # of a record
# Deflate data ends with a flush to a byte boundary, without the flush's last four bytes.
FLUSH = b"\x00\x00\xff\xff"

# Codes: below 16 progress and success, 16 to 31 refused, 32 to 47 failed; from 48 on rolled back,
# which comes not in a reply but in the birth message of the firmware that is back (`failed`).
RECEIVING = 0
INSTALLED = 1
ALREADY_RUNNING = 2
COMPARING = 3  # 3 and 4: only to who asked for "progress"; firmware of protocol 1 has neither
VERIFYING = 4
REFUSED = 16
MALFORMED = 16
WRONG_BOARD = 17
WRONG_MCU = 18
TOO_LARGE = 19
BUSY = 20
UNCONFIRMED = 21
BAD_SIGNATURE = 22  # there is none, or it is not that of the key it names
UNKNOWN_KEY = 23
TOO_OLD = 24  # older than what was confirmed before
FAILED_BEFORE = 25  # this very image was rolled back
WRONG_BASE = 26  # what it is a difference to is not what runs: send it in full
FAILED = 32
FLASH_ERROR = 32
IMAGE_HASH = 33
IMAGE_INVALID = 34
CANCELLED = 35
NO_MEMORY = 36
ROLLED_BACK = 48
NO_NETWORK = 48  # never on a network
NO_BROKER = 49  # on a network, never on the broker
UNREACHABLE = 50  # on the broker, and yet its own command did not come back
UNHEALTHY = 51
WATCHDOG = 52
CRASH = 53
POWER_LOST = 54  # says nothing about the image: it may be offered again

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
    block 0), with COMPARING and VERIFYING a progress, with any other code a UTF-8 detail for
    humans, often empty.
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
