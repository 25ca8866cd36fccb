"""Reads the signature that ESP-IDF's secure boot (version 2) wants behind an image.

    image, padded to a sector | a sector with 1 to 3 signature blocks

`signed_by` tells whether there is one and whose; whether it is right, espsecure and the chip check.
`unsigned` leaves it out: made again it is another one each time, over the same bytes.
Source: ESP-IDF programming guide, "Secure Boot v2", Signature Block Format.
"""

import hashlib
import struct
import zlib

from mqhost.flash.espimage import ImageError
from mqhost.flash.partition import SECTOR
from mqwire.flash import SIGNATURE_CRC, SIGNATURE_MAGIC, SIGNATURE_VERSIONS

# Version of a block → the bytes of it that are the public key: modulus, exponent and what is
# calculated of them; or the curve and a point. Their SHA-256 is what the chip keeps in eFuses.
_KEYS = dict(zip(SIGNATURE_VERSIONS, (slice(36, 812), slice(36, 101)), strict=True))
_HEAD = "<BBxx32s"  # magic, version, SHA-256 of the image


def signed_by(image: bytes | memoryview) -> str:
    """Return the digest (hex) of the public key that `image`, a whole file, is signed with, as the
    chip keeps it; "" if it is not signed. ImageError if the signature is of another image.
    """
    if len(image) % SECTOR or len(image) < 2 * SECTOR:
        return ""
    block = bytes(image[-SECTOR:])
    magic, version, digest = struct.unpack_from(_HEAD, block)
    (crc,) = struct.unpack_from("<I", block, SIGNATURE_CRC)
    if magic != SIGNATURE_MAGIC or version not in _KEYS or crc != zlib.crc32(block[:SIGNATURE_CRC]):
        return ""
    if hashlib.sha256(image[:-SECTOR]).digest() != digest:
        raise ImageError(
            "The image has a signature for secure boot, but of other bytes: one of them was "
            "changed. Build it again."
        )
    return hashlib.sha256(block[_KEYS[version]]).hexdigest()


def unsigned(image: bytes) -> bytes:
    """Return `image` without the sector that its signature is in, if it has one."""
    return image[:-SECTOR] if signed_by(image) else image
