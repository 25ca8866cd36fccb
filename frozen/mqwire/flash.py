"""Reads the ESP32's flash formats that both ends need: otadata records and the app image's frame.

Sources: ESP-IDF v5.5, `esp_ota_select_entry_t` and `esp_ota_img_states_t`
(components/bootloader_support/include/esp_flash_partitions.h), `esp_image_header_t` and
`esp_image_segment_header_t` (components/bootloader_support/include/esp_app_format.h).
"""

import struct

from mqwire import WireError

SECTOR = 4096

# One otadata record stands at the start of each of the two sectors: sequence (from 1; the slot is
# (sequence - 1) % slots), 20 unused bytes, state, CRC-32 of the sequence's four bytes (initial
# value 0xFFFFFFFF, which is `binascii.crc32(bytes, 0xFFFFFFFF)`).
_OTADATA = "<I20sII"
OTADATA_SIZE = 32
CRC_START = 0xFFFFFFFF
BLANK = 0xFFFFFFFF

NEW = 0
PENDING_VERIFY = 1
VALID = 2
INVALID = 3
ABORTED = 4
UNDEFINED = 0xFFFFFFFF

STATE_NAMES = ("new", "pending", "valid", "invalid", "aborted")
# The states in which the bootloader will boot a slot again without conditions.
CONFIRMED_STATES = ("valid", "undefined")

# The app image: a 24-byte header, then segments of 8 bytes header (address, length) + data, padding
# so that the checksum byte ends a 16-byte row, then (if hash_appended is 1) the SHA-256 of it all.
IMAGE_MAGIC = 0xE9
IMAGE_HEADER_SIZE = 24
_SEGMENT = "<II"
SEGMENT_SIZE = 8
DIGEST_SIZE = 32
MAX_SEGMENTS = 16

# Secure boot's signature, where an image has one: in the first sector behind it, a block that
# begins with a magic and its version, RSA or ECDSA, with the CRC-32 of what is before that.
SIGNATURE_MAGIC = 0xE7
SIGNATURE_VERSIONS = (2, 3)
SIGNATURE_CRC = 1196


def pack_otadata(sequence, state, crc):
    """Return the 32 bytes of an otadata record."""
    return struct.pack(_OTADATA, sequence, b"\xff" * 20, state, crc)


def unpack_otadata(record):
    """Return (sequence, state, crc) of the first 32 bytes of `record`."""
    sequence, _, state, crc = struct.unpack_from(_OTADATA, record, 0)
    return sequence, state, crc


def state_name(state):
    """Return the word for an otadata state; "undefined" for a blank one."""
    return STATE_NAMES[state] if state < len(STATE_NAMES) else "undefined"


def image_header(data):
    """Return (segments, chip id, hash appended) of an app image's first 24 bytes.

    Raises WireError if it is not an app image.
    """
    if len(data) < IMAGE_HEADER_SIZE or data[0] != IMAGE_MAGIC:
        raise WireError("not an app image: it does not begin with 0xE9")
    segments = data[1]
    if not 0 < segments <= MAX_SEGMENTS:
        raise WireError("not an app image: it has %d segments" % segments)
    (chip,) = struct.unpack_from("<H", data, 12)
    return segments, chip, data[23] == 1


def image_size(read, limit):
    """Return the size in bytes of the app image that `read(offset, size)` gives access to.

    Walks the segment headers; raises WireError if there is none or it passes `limit`.
    """
    segments, _, hashed = image_header(read(0, IMAGE_HEADER_SIZE))
    position = IMAGE_HEADER_SIZE
    for _ in range(segments):
        if position + SEGMENT_SIZE > limit:
            raise WireError("app image passes its end")
        _, length = struct.unpack_from(_SEGMENT, read(position, SEGMENT_SIZE), 0)
        position += SEGMENT_SIZE + length
    # The checksum is the last byte of the 16-byte row that follows the last segment's end.
    position += 16 - position % 16
    if hashed:
        position += DIGEST_SIZE
    if position > limit:
        raise WireError("app image passes its end")
    return position
