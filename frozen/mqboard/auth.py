"""Lets only commands through that have a tag of this board's key (mqwire.auth), each message once.

A sender is known by what it draws for itself; of each the board remembers the highest number and
which of those just below it have come. When it has no room for another sender, it draws a new
nonce, which the birth message tells: whoever it knows may go on with the old one until the next,
and nobody else. So a few hundred bytes are enough to take nothing twice, from any number of
operators. Loaded only on a board that has a key.
"""

import hashlib
import json
import os
import struct

from micropython import const

import mqwire
from mqboard.clock import ticks_diff, ticks_ms
from mqwire import auth

_SENDERS = const(32)
_ENTRY = const(16)  # sender, highest number, bits of the numbers up to it
_REPLAYED = "refused: it was sent before"
_BURST = const(8)  # refusals that are told at once
_TELL_MS = const(2000)  # and then one in so many milliseconds


class _Senders:
    """Knows who has sent what with one nonce; we are the first of them."""

    def __init__(self):
        self.nonce = os.urandom(auth.NONCE_SIZE)
        self.own = self.nonce[: auth.SENDER_SIZE]
        self._entries = bytearray(_SENDERS * _ENTRY)
        self._entries[: auth.SENDER_SIZE] = self.own
        self._count = 1
        self._noted = 0  # where the bit of the number is that was noted last
        self._bit = 0

    def find(self, sender):
        """Return where the entry of `sender` is, -1 if there is none."""
        entries = self._entries
        for start in range(0, self._count * _ENTRY, _ENTRY):
            same = entries[start] == sender[0]  # a slice is an object
            if same and entries[start : start + auth.SENDER_SIZE] == sender:
                return start
        return -1

    def full(self):
        """Return whether there is no room for another one."""
        return self._count == _SENDERS

    def take(self, sender, number, note=True):
        """Note a number of `sender`, whom there is room for; return whether it is a new one."""
        start = self.find(sender)
        if start < 0 and not note:
            return True
        if start < 0:
            start = self._count * _ENTRY
            self._entries[start : start + auth.SENDER_SIZE] = sender
            self._count += 1
        highest, bits = struct.unpack_from("<II", self._entries, start + auth.SENDER_SIZE)
        ahead = number - highest
        if ahead > 0:
            highest = number
            bits = (bits << min(ahead, auth.WINDOW) | 1) & 0xFFFFFFFF
        elif ahead <= -auth.WINDOW or bits >> -ahead & 1:
            return False
        else:
            bits |= 1 << -ahead
        if note:
            struct.pack_into("<II", self._entries, start + auth.SENDER_SIZE, highest, bits)
            behind = highest - number
            self._noted = start + auth.SENDER_SIZE + 4 + behind // 8
            self._bit = 1 << behind % 8
        return True

    def release(self):
        """Take back that the last number was noted. This takes no memory."""
        self._entries[self._noted] &= ~self._bit
        self._bit = 0


class Guard:
    """Stands before the commands of a board with `key`. `announce()` has the birth told anew."""

    def __init__(self, key, announce, log):
        self._maker = auth.Maker(hashlib.sha256, key)
        self._announce = announce
        self._log = log
        # Drawn when the first one wants it: a chip's random numbers are good once its radio is on.
        self._now = None
        self._before = None
        self._last = None  # those in which the last message was noted
        self._sent = 0  # by us, with this nonce
        self.proven = False  # somebody else has the key, too
        self._untold = 0
        self._budget = _BURST
        self._told_at = ticks_ms()

    def facts(self):
        """Return what the birth message says: the nonce in hex, and which key it is."""
        return {"nonce": self._senders().nonce.hex(), "key": self._maker.name()}

    def sealed(self, topic, message):
        """Return our own `message` to `topic` with its trailer."""
        now = self._senders()
        self._sent += 1
        return message + self._maker.trailer(now.nonce, topic, message, now.own, self._sent)

    def admit(self, router, command, ident, topic, payload):
        """Return `payload`, a memoryview, without its trailer; None if it is refused."""
        self._last = None
        size = len(payload) - auth.TRAILER_SIZE
        why = self._judge(topic, payload, size, True)
        if why:
            return self._refuse(router, command, ident, why)
        if self._now.full():
            self._before, self._now = self._now, None
            self._sent = 0
            self._announce()
        return payload[:size]

    def release(self):
        """Have the last message, which found no memory after it was admitted, count as not sent."""
        if self._last:
            self._last.release()

    def peek(self, topic, payload):
        """Return `payload` without its trailer, None if it would be refused; note nothing of it."""
        size = len(payload) - auth.TRAILER_SIZE
        return None if self._judge(topic, payload, size, False) else payload[:size]

    def _judge(self, topic, payload, size, note):
        """Return why a message is refused, None if it is not; `size`: without its trailer."""
        if size < mqwire.HEADER_SIZE:
            return auth.NO_TAG
        sender = bytes(payload[size : size + auth.SENDER_SIZE])
        senders = self._senders()
        if self._before and self._before.find(sender) >= 0:
            senders = self._before
        numbered = payload[size : size + auth.SENDER_SIZE + 4]
        tag = self._maker.tag(senders.nonce, topic, payload[:size], numbered)
        if not auth.same(tag, payload[size + auth.SENDER_SIZE + 4 :]):
            return auth.NO_TAG
        (number,) = struct.unpack_from(">I", payload, size + auth.SENDER_SIZE)
        if not senders.take(sender, number, note):
            return _REPLAYED
        if note:
            self._last = senders
        self.proven = self.proven or note and sender != senders.own

    def _senders(self):
        if not self._now:
            self._now = _Senders()
        return self._now

    def _refuse(self, router, command, ident, why):
        """Say so in the log and to the sender; of a flood, now and then."""
        now = ticks_ms()
        if ticks_diff(now, self._told_at) >= _TELL_MS:
            self._told_at = now
            self._budget = min(_BURST, self._budget + 1)
        if not self._budget:
            self._untold += 1
            return
        self._budget -= 1
        more = " (and %d others)" % self._untold if self._untold else ""
        self._untold = 0
        self._log.warning("%s/%s %s%s", command, ident, why, more)
        # A broker, too, sends again what it has no acknowledgement for, while the sender waits for
        # the answer to the first.
        if why != _REPLAYED:
            text = "%s: %s" % (why, json.dumps(self.facts()))
            router.say_aside(command, ident, text.encode())
