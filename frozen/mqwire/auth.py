"""Defines how a command proves that its sender has the board's key: the trailer with its tag.

Every message of a command then ends with 28 bytes: who sends (drawn anew for each session and each
nonce), the number of the message (from 1, u32 big-endian), and the tag, the first half of an
HMAC-SHA256 (RFC 2104) over the board's nonce, sender and number, the topic behind its length (u16),
and the message without trailer. The nonce is the board's, which tells it in its status. So the tag
is good for this board, this topic, these bytes, and once.
"""

import struct

NONCE_SIZE = 16
SENDER_SIZE = 8
TAG_SIZE = 16
TRAILER_SIZE = SENDER_SIZE + 4 + TAG_SIZE
# So many messages may come in another order than they were numbered: those of QoS 0 overtake.
WINDOW = 32
# How the answer on `err` begins to a command that a board does not take; ": " and what its status
# says in `auth` come behind it. One that it has had already is not answered.
NO_TAG = "refused: it has no tag that was made with this board's key for this boot"

_BLOCK = 64  # of SHA-256, in bytes
_NAME = b"mqboard key"


class Maker:
    """Makes tags with `key`, a text. `sha256` is hashlib's."""

    def __init__(self, sha256, key):
        self._sha256 = sha256
        data = key.encode()
        if len(data) > _BLOCK:
            data = sha256(data).digest()
        data += bytes(_BLOCK - len(data))
        self._inner = bytes([byte ^ 0x36 for byte in data])
        self._outer = bytes([byte ^ 0x5C for byte in data])

    def tag(self, nonce, topic, message, sender):
        """Return the tag of `message` (bytes-like, without trailer) to `topic`, a text; `sender`
        has the number behind it.
        """
        name = topic.encode()
        hashed = self._sha256(self._inner)
        hashed.update(nonce)
        hashed.update(sender)
        hashed.update(struct.pack(">H", len(name)))
        hashed.update(name)
        hashed.update(message)
        return self._finish(hashed)[:TAG_SIZE]

    def trailer(self, nonce, topic, message, sender, number):
        """Return what comes behind `message`, which is the `number`-th of `sender`."""
        numbered = sender + struct.pack(">I", number)
        return numbered + self.tag(nonce, topic, message, numbered)

    def name(self):
        """Return 8 hex digits by which two ends see whether they have the same key."""
        hashed = self._sha256(self._inner)
        hashed.update(_NAME)
        return "%02x%02x%02x%02x" % tuple(self._finish(hashed)[:4])

    def _finish(self, inner):
        hashed = self._sha256(self._outer)
        hashed.update(inner.digest())
        return hashed.digest()


def same(one, other):
    """Return whether two bytes-likes of one length are the same, in a time that does not tell in
    what they differ.
    """
    difference = 0
    for index in range(len(one)):
        difference |= one[index] ^ other[index]
    return not difference
