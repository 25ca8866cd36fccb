"""Looks at the two app slots: their names, sizes, states, and the hash of the image in one.

The ESP32 port has no call that tells a slot's state, so it is read from otadata, whose format is in
mqwire.flash. Partitions come as arguments: esp32.Partition on a board, a fake in a test.
"""

import asyncio
import binascii
import hashlib

from mqwire import WireError, flash

_OTADATA = 0  # the subtype of the otadata partition
_LABEL = 4  # index into Partition.info(): type, subtype, address, size, label, encrypted
_SIZE = 3
_PIECE = 1024  # bytes read at a time: it is done at boot, when the heap should stay in one piece


def label(partition):
    """Return the partition's name, as "ota_0"."""
    return partition.info()[_LABEL]


def size(partition):
    """Return the partition's size in bytes."""
    return partition.info()[_SIZE]


def state(otadata, slot):
    """Return a slot's state in otadata as a word of mqwire.flash; "undefined" when it has none."""
    record = bytearray(flash.OTADATA_SIZE)
    best = 0
    word = flash.UNDEFINED
    for sector in (0, 1):
        otadata.readblocks(sector, record, 0)
        sequence, record_state, crc = flash.unpack_otadata(record)
        if sequence in (0, flash.BLANK):
            continue
        if binascii.crc32(bytes(record[:4]), flash.CRC_START) & 0xFFFFFFFF != crc:
            continue
        if sequence > best and label(slot) == "ota_%d" % ((sequence - 1) % 2):
            best = sequence
            word = record_state
    return flash.state_name(word)


def read_state(partitions, slot):
    """Return `state` by the otadata that `partitions`, the class esp32.Partition, finds."""
    found = partitions.find(partitions.TYPE_DATA, subtype=_OTADATA)
    return state(found[0], slot) if found else "undefined"


async def image_hash(partition):
    """Return the SHA-256 of the app image in `partition` as hex text; "" when there is no image.

    Reads it piece by piece and lets other tasks run in between.
    """
    view = memoryview(bytearray(_PIECE))

    def read(offset, count):
        partition.readblocks(0, view[:count], offset)
        return view[:count]

    try:
        left = flash.image_size(read, size(partition))
    except WireError:
        return ""
    digest = hashlib.sha256()
    offset = 0
    while left > 0:
        piece = view[: min(left, _PIECE)]
        partition.readblocks(0, piece, offset)
        digest.update(piece)
        left -= _PIECE
        offset += _PIECE
        if offset % (32 * _PIECE) == 0:
            await asyncio.sleep(0)
    return str(binascii.hexlify(digest.digest()), "ascii")
