"""Verifies that an offer is signed by a key this board knows: RSA, PKCS#1 v1.5, SHA-256.

The signature is over the exact bytes of image.json. The padded message that a right signature opens
to is built completely and compared completely (RFC 8017, 8.2.2 and 9.2): nothing in it is parsed,
so nothing can be misread.
"""

import binascii
import hashlib

from mqwire import offer as wire

# DigestInfo of a SHA-256, to where the hash begins (RFC 8017, 9.2, note 1).
_DIGEST_INFO = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


def key_id(modulus):
    """Return the name of a key, as text: how the SHA-256 of its modulus (384 bytes) begins."""
    name = binascii.hexlify(hashlib.sha256(modulus).digest())[: wire.KEY_NAME_SIZE]
    return str(name, "ascii")


def named_key(offer):
    """Return the name of the key that `offer`, the bytes of image.json, names, or ""."""
    # The only thing that is read of an offer before it is known to be genuine, and only to choose
    # the key and to say which one is missing.
    start = len(wire.OFFER_BEGINNING)
    end = start + wire.KEY_NAME_SIZE
    head = bytes(offer[: end + 1])
    if len(head) <= end or head[:start] != wire.OFFER_BEGINNING or head[end] != 0x22:
        return ""
    for byte in head[start:end]:
        if byte not in b"0123456789abcdef":
            return ""
    return str(head[start:end], "ascii")


def genuine(offer, signature, modulus):
    """Return whether `signature` is that of the key `modulus` over the bytes `offer`."""
    return genuine_digest(hashlib.sha256(offer).digest(), signature, modulus)


def genuine_digest(digest, signature, modulus):
    """Return the same over what has that SHA-256."""
    if len(signature) != wire.SIGNATURE_SIZE:
        return False
    number = int.from_bytes(signature, "big")
    key = int.from_bytes(modulus, "big")
    if number >= key:
        return False
    found = pow(number, wire.EXPONENT, key).to_bytes(wire.SIGNATURE_SIZE, "big")
    padding = wire.SIGNATURE_SIZE - 3 - len(_DIGEST_INFO) - len(digest)
    wanted = b"\x00\x01" + b"\xff" * padding + b"\x00" + _DIGEST_INFO + digest
    different = 0
    for index in range(wire.SIGNATURE_SIZE):
        different |= found[index] ^ wanted[index]
    return different == 0
