"""Publishes and subscribes by ESP-NOW through a board of MQBoard, for a node without Wi-Fi.

The driver of a node, for any MicroPython that has `espnow`: copy it onto the node, with mqpipe.py.

    async with mqnode.Node(mqnode.Radio(), key="...") as node:
        await node.subscribe("~/lamp", handler)
        await node.publish("~/level", b"21")
        await node.fetch()

The other end is mqgateway.py. What it does and guarantees: docs/gateway.md.
"""

import asyncio
import binascii
import os
import struct

from mqpipe import (
    ASK,
    DELIVER,
    EVERYBODY,
    FROM_GATEWAY,
    FULL,
    HERE,
    NO_TOKEN,
    OK,
    PUBLISH,
    REFUSED,
    SEARCH,
    SUBSCRIBE,
    UNSUBSCRIBE,
    WHO,
    Lost,
    Pipe,
    Radio,
    keys_of,
    seal,
    split_topic,
    ticks_diff,
    ticks_ms,
    unseal,
    with_topic,
    within,
)

__all__ = ("DROPPED", "KEPT", "PUBLISHED", "Lost", "Node", "Radio", "Refused")

# What a publish came to: the broker has it; the gateway keeps it until there is a broker; it was at
# QoS 0, and there is none.
PUBLISHED = "published"
KEPT = "kept"
DROPPED = "dropped"

_CHANNEL_MS = 60  # on each channel, in the first round of a search; doubles
_CHANNEL_MAX_MS = 1000
_FETCH_S = 5  # so long the gateway sends to a node that fetches
_MESSAGE_MS = 2000  # and so long one may take until it is asked again
_LISTEN_S = 30
_FULL_S = 0.5
_STATE = ">B4s8sIIB6s"
_STATE_SIZE = 28
_VERSION = 1


class Refused(Exception):
    """Raised when the gateway does not do it; the text says why."""


class Node(Pipe):
    """A node. `key` and `encrypt` are those of the gateway's configuration; `gateway` its address,
    by default who answers; `state` what `state()` returned before a deep sleep.
    """

    channel = 1
    delivered = 0  # messages
    failed = 0  # of them, whose handler raised
    unhandled = 0  # of them, for which there was no handler
    denied = 0  # subscriptions that a gateway which began anew does not make again

    def __init__(
        self,
        radio,
        *,
        key=None,
        encrypt=True,
        gateway=None,
        channels=range(1, 14),
        state=None,
        patience_s=20,
    ):
        super().__init__()
        self.patience_s = patience_s
        self.gateway = gateway
        self._fixed = gateway is not None
        self._radio = radio
        self._key, lmk = keys_of(key)
        self._radio_key = lmk if encrypt else None
        self._channels = channels
        self._handlers = {}  # filter: its handler
        self._made = set()  # checksums of the filters that the gateway has
        self._session = NO_TOKEN  # the gateway that has them
        self._nonce = None  # of a search
        self._here = asyncio.Event()
        self._channel_ms = _CHANNEL_MS
        self._incoming = None
        self._came = asyncio.Event()
        self._asked = asyncio.Event()  # we want messages
        self._got = asyncio.Event()
        self._more = -1  # so many wait behind the last one; -1: nobody has told
        self._tasks = ()
        radio.add(EVERYBODY)
        if gateway:
            radio.add(gateway, self._radio_key)
        self.boot = os.urandom(4)
        if state and state[0] == _VERSION and len(state) % 4 == 0 and len(state) >= _STATE_SIZE:
            self._restore(state)

    def state(self):
        """Return bytes to keep over a deep sleep; ask for them when nothing is on its way."""
        gateway = self.gateway or bytes(6)
        head = self.boot, self.token, self.sent, self.number, self.channel, gateway
        state = struct.pack(_STATE, _VERSION, *head)
        return state + b"".join([struct.pack(">I", each) for each in self._made])

    def _restore(self, state):
        head = struct.unpack(_STATE, state[:_STATE_SIZE])
        _, self.boot, token, self.sent, self.number, self.channel, gateway = head
        self._answer = bytes((OK,))  # to the last message, should it come again
        for start in range(_STATE_SIZE, len(state), 4):
            self._made.add(struct.unpack(">I", state[start : start + 4])[0])
        if token != NO_TOKEN and (not self._fixed or gateway == self.gateway):
            self.token = self._session = token
            self.gateway = gateway
            self._radio.add(gateway, self._radio_key)
        self._radio.tune(self.channel)

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(work) for work in (self._read(), self._work())]
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass

    # What others call.

    async def publish(self, topic, payload=b"", qos=1, retain=False):
        """Publish; return PUBLISHED, KEPT or DROPPED. Raises Refused, or Lost: nobody answers."""
        head = bytes((PUBLISH, qos << 1 | bool(retain)))
        status, _ = await self._do(with_topic(head, topic, payload))
        return (PUBLISHED, KEPT, DROPPED)[status]

    async def subscribe(self, topic_filter, handler, qos=1):
        """Have handler(topic, payload, retained), a function or a coroutine function, called for
        what matches. Raises Refused, Lost."""
        self._handlers[topic_filter] = handler
        await self._subscribe(topic_filter, qos)

    async def unsubscribe(self, topic_filter):
        """Have it called no more."""
        self._handlers.pop(topic_filter, None)
        self._made.discard(_sum(topic_filter))
        await self._do(bytes((UNSUBSCRIBE, 0)) + topic_filter.encode())

    async def fetch(self):
        """Get the messages that wait at the gateway; return how many came."""
        before = self.delivered
        while True:
            self._more = -1
            if not (await self._ask(_FETCH_S))[1]:
                return self.delivered - before
            while self._more:
                self._got.clear()
                if not await within(self._got, _MESSAGE_MS):
                    break

    async def listen(self):
        """Stay awake, for ever: messages come by themselves, and a gateway that is gone is looked
        for."""
        while True:
            try:
                await self._ask(_LISTEN_S)
            except Lost:
                continue
            await asyncio.sleep(_LISTEN_S / 3)

    async def time(self):
        """Return the seconds since 1970; OSError: the gateway does not know."""
        now, _ = await self._ask(0)
        if not now:
            raise OSError("the gateway does not know the time")
        return now

    # How it is done.

    async def _ask(self, seconds):
        """Be ready for messages for so long; return (time or 0, how many wait). It says which one
        we had last: the answer to that may have been lost."""
        if seconds:
            self._asked.set()
        last = 0 if self._answer is None else self.number
        _, text = await self._do(struct.pack(">BHI", ASK, seconds, last))
        return struct.unpack(">IB", text)

    async def _subscribe(self, topic_filter, qos=1):
        if _sum(topic_filter) in self._made:
            return
        try:
            await self._do(bytes((SUBSCRIBE, qos)) + topic_filter.encode(), topic_filter)
        except Refused:
            self._handlers.pop(topic_filter, None)
            raise

    async def _do(self, message, making=None):
        """Have the gateway do something; return (status, text). A gateway that has begun anew is
        told the subscriptions again; `making` is one that it has by this message."""
        started = ticks_ms()
        while True:
            left = self.patience_s * 1000 - ticks_diff(ticks_ms(), started)
            status, text = await self.send(message, left)
            if status != FULL or left < _FULL_S * 1000:
                break
            await asyncio.sleep(_FULL_S)
        if status in (REFUSED, FULL):
            raise Refused(str(text, "utf-8"))
        if making:
            self._made.add(_sum(making))
        for topic_filter in list(self._handlers):
            try:
                await self._subscribe(topic_filter)
            except Refused:
                self.denied += 1
        return status, text

    def transmit(self, kind, body):
        """Send a frame."""
        frame = seal(self._key, kind, self.boot, self.token, body)
        self._radio.send(EVERYBODY if kind == SEARCH else self.gateway, frame)

    async def lost(self):
        """Look for the gateway, once on each channel: it is on that of its access point."""
        self._nonce = os.urandom(4)
        self._here.clear()
        self.token = NO_TOKEN
        first = self.channel
        for channel in [first] + [each for each in self._channels if each != first]:
            self._radio.tune(channel)
            self.transmit(SEARCH, self._nonce)
            # It may come just as the time is over.
            if await within(self._here, self._channel_ms) or self._here.is_set():
                self._channel_ms = _CHANNEL_MS
                return
        self._channel_ms = min(2 * self._channel_ms, _CHANNEL_MAX_MS)

    def _find(self, mac, token, body):
        """Take the answer to a search."""
        if body[:4] != self._nonce or self._fixed and mac != self.gateway:
            return
        if not 0 < body[4] <= 14:
            raise ValueError("no channel")  # who has no key hears strangers
        self._nonce = None
        self.channel = body[4]
        self._radio.tune(self.channel)  # it may have been heard on the one beside its own
        if mac != self.gateway:
            self._radio.add(mac, self._radio_key)
            self.gateway = mac
        if token != self._session:
            self._made.clear()
            self.begin_anew()
        self.token = self._session = token
        self._here.set()

    async def _read(self):
        while True:
            mac, frame = await self._radio.receive()
            found = unseal(self._key, frame)
            if not found or found[1] != self.boot or not found[0] & FROM_GATEWAY:
                continue
            kind, _, token, body = found
            kind ^= FROM_GATEWAY
            try:
                if kind == HERE and len(body) == 5:
                    self._find(mac, token, body)
                elif mac == self.gateway and token == self.token != NO_TOKEN:
                    if kind == WHO:
                        self.token = NO_TOKEN
                        self._news.set()
                    else:
                        self.take(kind, body)
            except ValueError:
                pass  # malformed

    def on_message(self, number, data):
        """Take a message of the gateway."""
        self._incoming = number, data
        self._came.set()

    async def _work(self):
        while True:
            await self._asked.wait()  # before that, handlers may be missing
            await self._came.wait()
            self._came.clear()
            number, data = self._incoming
            if number != self.number:
                continue
            try:
                await self._handle(data)
            except Exception:
                self.failed += 1
            self.delivered += 1
            self.answer(number, OK)
            self._more = data[2] if len(data) > 2 else 0
            self._got.set()

    async def _handle(self, data):
        if data[0] != DELIVER:
            raise ValueError("malformed")
        topic, payload = split_topic(data[3:])
        handlers = [self._handlers[each] for each in self._handlers if matches(each, topic)]
        if not handlers:
            self.unhandled += 1
        for handler in handlers:
            running = handler(topic, payload, data[1] & 1 != 0)
            if hasattr(running, "send"):
                await running


def matches(topic_filter, topic):
    """Return whether a filter matches a topic."""
    wanted, parts = topic_filter.split("/"), topic.split("/")
    for index, each in enumerate(wanted):
        if each == "#":
            return True
        if index >= len(parts) or each not in ("+", parts[index]):
            return False
    return len(wanted) == len(parts)


def _sum(topic_filter):
    return binascii.crc32(topic_filter.encode())
