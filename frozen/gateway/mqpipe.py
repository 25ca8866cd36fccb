"""Carries messages over ESP-NOW between nodes and their gateway: what both ends have in common.

Frames have at most 250 bytes, get lost, come twice and overtake each other. A `Pipe` makes messages
of them, one at a time each way, in pieces, each taken once; with a key, frames have a tag by which
strangers and what they replay are told. mqnode.py is one end, mqgateway.py the other; what travels
is in docs/gateway.md.
"""

import asyncio
import binascii
import hashlib
import os
import struct
import time

try:
    from time import ticks_add, ticks_diff, ticks_ms
except ImportError:  # CPython: the tests

    def ticks_ms():
        return int(time.monotonic() * 1000)

    def ticks_add(start, more):
        return start + more

    def ticks_diff(end, start):
        return end - start


# Kinds of frames; the gateway's have FROM_GATEWAY set.
SEARCH, HERE, PIECE, HAVE, DONE, WHO = 1, 2, 3, 4, 5, 6
FROM_GATEWAY = 0x80
# What messages are for: their first byte.
PUBLISH, SUBSCRIBE, UNSUBSCRIBE, ASK, DELIVER = 1, 2, 3, 4, 5
# How a message was taken: the first byte of the answer to it.
OK, WAITS, NOBODY, REFUSED, FULL = 0, 1, 2, 3, 4

LARGEST = 4096  # bytes of a message, with its topic
EVERYBODY = b"\xff\xff\xff\xff\xff\xff"
NO_TOKEN = bytes(8)
_MARK = 0xE1  # version 1
_HEAD = ">BB4s8s"
_HEAD_SIZE = 14
_TAG = 8
_PIECE_HEAD = ">IBBB"
_DATA = 250 - _HEAD_SIZE - _TAG - 7  # bytes of a message in a piece
_WINDOW = 4  # pieces until the other end is asked what it has
_FIRST_MS = 100
_LONGEST_MS = 800
_SEARCH_AFTER = 4  # times without a word


class Lost(OSError):
    """Raised when the other end does not answer."""


def keys_of(key):
    """Return (key of tags, key of the radio) made of a node's `key`; (None, None) without one."""
    if not key:
        return None, None
    if isinstance(key, str):
        key = binascii.unhexlify(key)
    if len(key) != 16:
        raise ValueError("a key has 16 bytes, or 32 hexadecimal digits")
    return tuple([hashlib.sha256(use + key).digest()[:16] for use in (b"tag", b"radio")])


def seal(key, kind, boot, token, body):
    """Make a frame."""
    frame = struct.pack(_HEAD, _MARK, kind, boot, token) + body
    return frame + _tag(key, frame) if key else frame


def unseal(key, frame):
    """Return (kind, boot, token, body) of a frame; None if it is none, or not by who has `key`."""
    if key:
        if not _same(_tag(key, frame[:-_TAG]), frame[-_TAG:]):
            return None
        frame = frame[:-_TAG]
    if len(frame) < _HEAD_SIZE:
        return None
    mark, kind, boot, token = struct.unpack(_HEAD, frame[:_HEAD_SIZE])
    return (kind, boot, token, frame[_HEAD_SIZE:]) if mark == _MARK else None


def _tag(key, data):
    """Return the first bytes of HMAC-SHA256."""
    inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in key]) + b"\x36" * 48 + data).digest()
    outer = hashlib.sha256(bytes([byte ^ 0x5C for byte in key]) + b"\x5c" * 48 + inner)
    return outer.digest()[:_TAG]


def _same(one, other):
    """Compare in a time that does not tell where they differ."""
    differ = len(one) ^ len(other)
    for index in range(min(len(one), len(other))):
        differ |= one[index] ^ other[index]
    return not differ


def with_topic(head, topic, payload):
    """Make a message that has a topic and a payload behind the bytes `head`."""
    topic = topic.encode()
    if len(topic) > 255:
        raise ValueError("a topic has at most 255 bytes")
    return head + bytes((len(topic),)) + topic + payload


def split_topic(rest):
    """Return (topic, payload) of what is behind the head of such a message."""
    size = rest[0] + 1
    if len(rest) < size:
        raise ValueError("no topic")
    return str(rest[1:size], "utf-8"), rest[size:]


async def within(event, wait_ms):
    """Wait for an event; return whether it came in time."""
    try:
        await asyncio.wait_for(event.wait(), wait_ms / 1000)
        return True
    except asyncio.TimeoutError:
        return False


class Pipe:
    """Carries messages, one at a time each way, over a radio that loses, doubles and reorders.

    A message is sent in pieces until its answer is here; a message that is there already is
    answered again. Who inherits has `transmit(kind, body)`, which sends a frame;
    `on_message(number, data)`, which is told of each message and calls `answer`; and `lost()`.
    """

    boot, token = bytes(4), NO_TOKEN  # the session: what the node and what the gateway made up
    sent = 0  # number of the last message that we sent
    number = 0  # of the one that comes, or that came last
    repeated = 0  # times that pieces were sent again

    def __init__(self):
        self._current = 0  # number of the message that is being sent
        self._pieces = None  # of what comes, until it is whole
        self._count = 1
        self._answer = None  # to what came last; None: in work
        self._have = self._whole = 0  # bits: the pieces that the other end has, and all
        self._heard = False
        self._done = None
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()

    def begin_anew(self):
        """Note that the other end has begun anew: it counts from 1, and knows nothing of us."""
        self.number = 0
        self._pieces = self._answer = None
        self._have = 0
        self._news.set()

    async def send(self, data, patience_ms, number=None):
        """Send a message; return (status, text) of its answer. Lost: there was none in time.

        A message that was given up may be sent again with its `number`: it is not taken twice.
        """
        if len(data) > LARGEST:
            raise ValueError("a message has at most %d bytes with its topic" % LARGEST)
        async with self._turn:
            if number is None:
                self.sent = number = self.sent + 1
            return await self._send(data, number, patience_ms)

    async def _send(self, data, number, patience_ms):
        count = (len(data) + _DATA - 1) // _DATA or 1
        self._current, self._have, self._done = number, 0, None
        self._whole = (1 << count) - 1
        started = ticks_ms()
        wait = _FIRST_MS
        silent = 0
        while True:
            if self.token == NO_TOKEN or silent >= _SEARCH_AFTER:
                silent = 0
                await self.lost()
            if ticks_diff(ticks_ms(), started) > patience_ms:
                raise Lost("no answer in %d s" % (patience_ms // 1000))
            if self.token == NO_TOKEN:
                continue
            self._news.clear()
            self._heard = False
            have = self._have
            self._send_some(data, number, count)
            await within(self._news, wait + os.urandom(1)[0] % 32)  # two do not keep step
            if self._done:
                return self._done[0], self._done[1:]
            silent = 0 if self._heard else silent + 1
            if self._have != have:
                wait = _FIRST_MS
            else:
                wait = min(2 * wait, _LONGEST_MS)
                self.repeated += 1

    def _send_some(self, data, number, count):
        """Send pieces that the other end has not, or the last again: it says what became of it."""
        missing = [index for index in range(count) if not self._have >> index & 1][:_WINDOW]
        missing = missing or [count - 1]
        for index in missing:
            head = struct.pack(_PIECE_HEAD, number, index, count, index == missing[-1])
            self.transmit(PIECE, head + data[index * _DATA : (index + 1) * _DATA])

    async def lost(self):
        """Do what is to be done when the other end says nothing."""

    def take(self, kind, body):
        """Take a frame of this session; ValueError if it is malformed."""
        if kind == PIECE and len(body) >= 7:
            self._take_piece(*struct.unpack(_PIECE_HEAD, body[:7]), body[7:])
        elif kind == DONE and len(body) >= 5 or kind == HAVE and len(body) == 8:
            if struct.unpack(">I", body[:4])[0] != self._current:
                return  # of an earlier message, late
            self._heard = True
            if kind == DONE:
                self._done = body[4:]
                self._news.set()
            else:
                had, self._have = self._have, self._have | struct.unpack(">I", body[4:8])[0]
                if had != self._have and self._have != self._whole:
                    self._news.set()  # otherwise there is nothing to send at once
        else:
            raise ValueError("malformed")

    def _take_piece(self, number, index, count, last, data):
        if not index < count <= 32 or len(data) > _DATA or count * _DATA >= LARGEST + _DATA:
            raise ValueError("malformed")
        if number < self.number:
            return  # late
        if number > self.number:
            self.number, self._count = number, count
            self._pieces = [None] * count
            self._answer = None
        if self._pieces and count == self._count:
            self._pieces[index] = data
            if None not in self._pieces:
                message = b"".join(self._pieces)
                self._pieces = None
                return self.on_message(number, message)
        if last:
            self._tell()

    def answer(self, number, status, text=b""):
        """Answer the message `number`."""
        if number == self.number:  # otherwise nobody waits for it any more
            self._answer = bytes((status,)) + text
            self._tell()

    def _tell(self):
        head = struct.pack(">I", self.number)
        if self._answer is not None:
            return self.transmit(DONE, head + self._answer)
        have = (1 << self._count) - 1
        if self._pieces:
            have = sum([1 << i for i in range(self._count) if self._pieces[i] is not None])
        self.transmit(HAVE, head + struct.pack(">I", have))


class Radio:
    """The radio of the chip; `espnow` and `wlan` may be given, as ESPNow and WLAN, active, are."""

    refused = 0  # frames that the radio did not take

    def __init__(self, espnow=None, wlan=None, rxbuf=2048):
        if wlan is None:
            import network

            wlan = network.WLAN(network.STA_IF)
            wlan.active(True)
        if espnow is None:
            from espnow import ESPNow

            espnow = ESPNow()
        espnow.config(rxbuf=rxbuf)
        espnow.active(True)
        self.espnow, self.wlan = espnow, wlan
        self._peers = {}

    def add(self, mac, key=None):
        """Get to know an address, before anything is sent to it; with `key` it is encrypted."""
        if mac in self._peers:
            self.espnow.del_peer(mac)
        self._peers[mac] = key
        if key:
            self.espnow.add_peer(mac, key)
        else:
            self.espnow.add_peer(mac)

    def restart(self):
        """Begin anew with all addresses: what switches Wi-Fi off takes ESP-NOW along."""
        self.espnow.active(False)
        self.espnow.active(True)
        peers, self._peers = self._peers, {}
        for mac, key in peers.items():
            self.add(mac, key)

    def channel(self):
        """Return the channel of the radio."""
        return self.wlan.config("channel")

    def tune(self, channel):
        """Go to a channel."""
        self.wlan.config(channel=channel)

    def stay_awake(self):
        """Have a radio that is on a network hear us between its beacons, too, and one that is on
        none stay on."""
        if not self.wlan.active():
            self.wlan.active(True)
            self.restart()
        if self.wlan.config("pm"):
            self.wlan.config(pm=0)  # WLAN.PM_NONE

    def send(self, mac, frame):
        """Send a frame; nobody says whether it arrives."""
        try:
            self.espnow.send(mac, frame, False)
        except OSError:
            self.refused += 1

    async def receive(self):
        """Wait for a frame; return (address, frame)."""
        while True:
            mac, frame = self.espnow.recv(0)
            await asyncio.sleep(0)
            if mac:
                return mac, frame
            await self._readable()

    # async
    def _readable(self):
        yield asyncio.core._io_queue.queue_read(self.espnow)

    def close(self):
        """Switch ESP-NOW off."""
        self.espnow.active(False)
