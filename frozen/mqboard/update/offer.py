"""Reads and checks an update request, and refuses the ones this board must not take.

First the signature, before anything of the offer is believed or even parsed; then what the offer
says; then whether it is for this board, and whether this board wants it.
"""

import binascii
import hashlib
import json

import mqwire
from mqboard.update.errors import Refusal
from mqboard.update.signature import genuine_digest, key_id, named_key
from mqwire import names
from mqwire import update as wire


class Offer:
    """What image.json says, checked. Raises Refusal(MALFORMED) for what is not as it must be."""

    def __init__(self, data):
        try:
            fields = json.loads(str(data, "utf-8"))
            if fields["format"] != wire.OFFER_FORMAT or fields["block_size"] != wire.BLOCK_SIZE:
                raise ValueError("unknown format or block size")
            self.board = _typed(fields["board"], str)
            self.mcu = _typed(fields["mcu"], str)
            self.version = _typed(fields["version"], str)
            self.seq = _typed(fields["seq"], int)
            self.size = _typed(fields["size"], int)
            names.check_text(self.version, wire.MAX_VERSION)
            self.sha256 = _typed(fields["sha256"], str).lower()
            self.digest = binascii.unhexlify(self.sha256)
            self.hashes = binascii.a2b_base64(_typed(fields["blocks"], str))
            self.blocks = (self.size + wire.BLOCK_SIZE - 1) // wire.BLOCK_SIZE
            if self.size <= 0 or len(self.digest) != 32:
                raise ValueError("size or sha256")
            if len(self.hashes) != self.blocks * wire.HASH_SIZE:
                raise ValueError("number of blocks")
        except (mqwire.WireError, ValueError, KeyError, TypeError, RuntimeError) as error:
            # RuntimeError: nested too deeply.
            raise Refusal(wire.MALFORMED, str(error))


def read_request(request, keys, stream=""):
    """Return (Offer, topic of the blocks) of an update request; raise Refusal.

    `keys` are the moduli of the keys that may sign; without any, every offer is taken. `stream`:
    the topic of the broadcast that it came by.
    """
    try:
        data, signature, options = wire.unpack_request(request.body)
        if keys:
            check_signature(data, hashlib.sha256(data).digest(), signature, keys)
        options = json.loads(str(options, "utf-8"))
        topic = stream or options.get("topic")
        retry_failed = options.get("retry_failed") is True
        progress = options.get("progress") is True
        topic = topic or mqwire.blocks_topic(request.prefix, request.ident)
        check_blocks_topic(topic, request.prefix)
    except (mqwire.WireError, ValueError, AttributeError, RuntimeError) as error:
        raise Refusal(wire.MALFORMED, str(error))
    offer = Offer(data)
    offer.retry_failed = retry_failed
    offer.progress = progress and not stream
    offer.shared = bool(stream)
    offer.base = options.get("base")
    return offer, topic


def check_signature(beginning, digest, signature, keys):
    """Raise Refusal unless one of `keys` signed what begins so and has that SHA-256: an offer of an
    image, or a manifest of an application.
    """
    if not signature:
        raise Refusal(wire.BAD_SIGNATURE, "it is not signed")
    name = named_key(beginning)
    known = [key_id(key) for key in keys]
    if name not in known:
        detail = "it names key %s; this board knows %s" % (name or "none", ", ".join(known))
        raise Refusal(wire.UNKNOWN_KEY, detail)
    if not genuine_digest(digest, signature, keys[known.index(name)]):
        raise Refusal(wire.BAD_SIGNATURE, "it is not that of key " + name)


def admit(offer, mine, slot):
    """Raise Refusal unless `offer` is for this board (identity `mine`), wanted, and fits `slot`."""
    if offer.board != mine.board:
        raise Refusal(wire.WRONG_BOARD, "this board is " + mine.board)
    if offer.mcu != mine.mcu:
        raise Refusal(wire.WRONG_MCU, "this mcu is " + mine.mcu)
    if offer.sha256 == mine.image:
        raise Refusal(wire.ALREADY_RUNNING, "it runs already")
    if offer.seq < mine.oldest:
        raise Refusal(wire.TOO_OLD, "its seq is %d; this board had %d" % (offer.seq, mine.oldest))
    failed = mine.failed or {}
    # A power cut is not the image's fault: there is nothing that somebody must look into first.
    blamed = failed.get("image") == offer.sha256 and failed.get("code") != wire.POWER_LOST
    if blamed and not offer.retry_failed:
        raise Refusal(wire.FAILED_BEFORE, str(failed.get("reason")))
    if slot is None:
        raise Refusal(wire.TOO_LARGE, "there is no second slot")
    room = slot.ioctl(4, 0) * wire.BLOCK_SIZE
    if offer.size > room:
        raise Refusal(wire.TOO_LARGE, "%d bytes do not fit the slot's %d" % (offer.size, room))
    if mine.slot_state not in ("valid", "undefined"):
        # The other slot is what the board goes back to if this image fails.
        raise Refusal(wire.UNCONFIRMED, "the running image is not confirmed yet")
    if mine.trying():
        raise Refusal(wire.UNCONFIRMED, "what it tries is not confirmed yet")


def check_blocks_topic(topic, prefix):
    """Raise WireError unless blocks may arrive on `topic`: it is none of our own but for those.
    ValueError if it is no text."""
    try:
        names.check_topic(_typed(topic, str))
    except mqwire.WireError as error:
        raise mqwire.WireError("the blocks' topic: %s" % error)
    # Another topic may be an application's: we would take its place there.
    own = topic.startswith(mqwire.blocks_topic(prefix, ""))
    if not own and ("/mqb/blocks/" not in topic or topic.startswith(prefix + "/")):
        raise mqwire.WireError("the blocks' topic is not one for blocks")


def _typed(value, kind):
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError("not a " + kind.__name__)
    return value
