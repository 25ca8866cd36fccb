"""An update on the wire: the request, the block records, and the board's replies.

    host  -> cmd/update/<id>      request: offer, signature, options        (header + parts)
    board -> reply/out/<id>       RECEIVING, credit, bitmap of needed blocks
    host  -> <blocks topic>       records (block number, encoding, length, data), no header
    board -> reply/out/<id>       RECEIVING again, as blocks are written
    board -> reply/out/<id>       with the last bit: INSTALLED, or why not

Every reply says the whole truth (which blocks are still needed, how many block messages were
received since the offer, how many more may be in flight), so that a lost one does no harm and a
repeated offer is all it takes to resume.
"""

import struct

from mqwire import WireError

BLOCK_SIZE = 4096
# A block's hash in the offer: this many leading bytes of the SHA-256 of the 4096-byte block,
# the last one padded with 0xFF as it will stand in flash.
HASH_SIZE = 4
OFFER_FORMAT = 1
MAX_REQUEST = 8192

# Encodings of a block record.
RAW = 0
DEFLATE = 1  # raw deflate (RFC 1951), decodable with a 4096-byte window (wbits 12)
WINDOW_BITS = 12

# Reply codes: below 16 progress and success, 16 to 31 refused, 32 and up failed.
RECEIVING = 0
INSTALLED = 1
ALREADY_RUNNING = 2
REFUSED = 16
MALFORMED = 16
WRONG_BOARD = 17
WRONG_MCU = 18
TOO_LARGE = 19
BUSY = 20
UNCONFIRMED = 21
FAILED = 32
FLASH_ERROR = 32
IMAGE_HASH = 33
IMAGE_INVALID = 34
CANCELLED = 35
NO_MEMORY = 36

CODES = (
    RECEIVING,
    INSTALLED,
    ALREADY_RUNNING,
    MALFORMED,
    WRONG_BOARD,
    WRONG_MCU,
    TOO_LARGE,
    BUSY,
    UNCONFIRMED,
    FLASH_ERROR,
    IMAGE_HASH,
    IMAGE_INVALID,
    CANCELLED,
    NO_MEMORY,
)

_PART = ">H"
_RECORD = ">HBH"
RECORD_SIZE = 5
_REPLY = ">BBH"
REPLY_SIZE = 4


def pack_request(offer, signature=b"", options=b"{}"):
    """The body of an update command: three byte strings, each behind its u16 length.

    `offer` is image.json to the byte (the signature is over these bytes), `options` is a JSON
    object that concerns this transfer only: {"topic": where the blocks will arrive}.
    """
    return b"".join([struct.pack(_PART, len(part)) + part for part in (offer, signature, options)])


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
    """One block record; several of them make a block message."""
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


def pack_reply(code, credit=0, received=0, body=b""):
    """One reply, without the message header.

    `credit`: block messages that may be in flight; `received`: block messages received since the
    offer, modulo 65536. `body`: with RECEIVING the bitmap of needed blocks (bit 7 of byte 0 is
    block 0), with any other code a UTF-8 detail for humans, often empty.
    """
    return struct.pack(_REPLY, code, credit, received & 0xFFFF) + body


def unpack_reply(payload):
    """Return (code, credit, received, body); raise WireError if `payload` is too short."""
    if len(payload) < REPLY_SIZE:
        raise WireError("update reply is cut short")
    code, credit, received = struct.unpack_from(_REPLY, payload, 0)
    return code, credit, received, bytes(payload[REPLY_SIZE:])


def bitmap_get(bitmap, number):
    """Whether block `number` is set."""
    return bool(bitmap[number >> 3] & (0x80 >> (number & 7)))


def bitmap_put(bitmap, number, value):
    """Set or clear block `number`."""
    bit = 0x80 >> (number & 7)
    if value:
        bitmap[number >> 3] |= bit
    else:
        bitmap[number >> 3] &= ~bit & 0xFF
