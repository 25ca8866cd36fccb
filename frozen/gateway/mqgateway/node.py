"""Is one node, as the gateway has it: takes its frames, does what it wants, holds what is for it.

A session begins with a search: the node names its boot, we answer with a token, and the first frame
that has both begins it. So nothing that was recorded in an earlier session is taken.
"""

import os
import struct

from micropython import const
from mqpipe import (
    ASK,
    DELIVER,
    DONE,
    EVERYBODY,
    FROM_GATEWAY,
    FULL,
    HERE,
    LARGEST,
    NO_TOKEN,
    OK,
    PUBLISH,
    REFUSED,
    SEARCH,
    SUBSCRIBE,
    UNSUBSCRIBE,
    WAITS,
    WHO,
    Lost,
    Pipe,
    seal,
    split_topic,
    ticks_add,
    ticks_diff,
    ticks_ms,
    unseal,
    with_topic,
)

from mqboard.mqtt.packet import matches
from mqwire import WireError

_FILTERS = const(16)  # of one node
_TOPIC = const(255)  # bytes of a topic, or of a filter
_LEVELS = const(100)  # of one; mosquitto hangs up at 202
_AT_ONCE = const(4)  # messages of a node that are in work; one that waits for answers has one
_DELIVER_HEAD = const(4)
_TEXT = const(200)  # bytes of why something is refused
OVERHEAD = 64  # bytes that a message takes beside its own


class Denied(Exception):
    """Raised when a node is refused what it wants; the text says why."""


class Node(Pipe):
    """One node, as the gateway has it; `facts` are mqgateway.settings.Facts."""

    forged = malformed = published = delivered = dropped = refused = 0
    seen = None  # when: ticks_ms()

    def __init__(self, gateway, facts):
        super().__init__()
        self.facts = facts
        self.filters = {}  # full filter: as the node gave it
        self.queue = []  # messages that wait for it
        self._gateway = gateway
        self._offered = None  # (boot, token): a session that begins with its first piece
        self._number = None  # of the message at the head of the queue, once it was sent
        self._window = None  # until then it listens
        self._sender = None
        self._doing = 0  # messages of it that are in work

    # Frames.

    def hear(self, frame):
        """Take a frame from the node's address."""
        found = unseal(self.facts.tag_key, frame)
        if not found or found[0] & FROM_GATEWAY:
            self.forged += 1
            return self._gateway.note("not by node %s: a frame from its address", self.facts.name)
        kind, boot, token, body = found
        try:
            if kind == SEARCH:
                return self._answer_search(boot, body)
            if (boot, token) == self._offered:
                self._begin(boot, token)
            if (boot, token) != (self.boot, self.token) or token == NO_TOKEN:
                frame = seal(self.facts.tag_key, WHO | FROM_GATEWAY, boot, token, b"")
                return self._gateway.radio.send(self.facts.mac, frame)
            self.seen = ticks_ms()
            self.take(kind, body)
        except ValueError:
            self.malformed += 1

    def _answer_search(self, boot, nonce):
        # Who replays a search gets a token by which nothing that was recorded is taken.
        if boot == self.boot and self.token != NO_TOKEN:
            token = self.token
        else:
            if not self._offered or self._offered[0] != boot:
                self._offered = boot, os.urandom(8)
            token = self._offered[1]
        radio = self._gateway.radio
        body = nonce[:4] + bytes((radio.channel(),))
        frame = seal(self.facts.tag_key, HERE | FROM_GATEWAY, boot, token, body)
        radio.send(EVERYBODY, frame)

    def _begin(self, boot, token):
        if boot != self.boot:
            self.begin_anew()
            self._window = None
        self.boot, self.token = boot, token
        self._offered = None

    def transmit(self, kind, body):
        """Send a frame to the node."""
        frame = seal(self.facts.tag_key, kind | FROM_GATEWAY, self.boot, self.token, body)
        self._gateway.radio.send(self.facts.mac, frame)

    # What it wants.

    def on_message(self, number, data):
        """Have a message of the node done, beside what else comes."""
        if self._doing >= _AT_ONCE:  # it does not wait for answers
            return self.answer(number, FULL, b"too many messages are in work")
        self._gateway.spawn(self._do, self.boot, number, data)
        self._doing += 1

    async def _do(self, boot, number, data):
        try:
            status, text = await self._perform(data)
        except (ValueError, IndexError):
            self.malformed += 1
            status, text = REFUSED, b"malformed"
        except Exception as error:
            self.refused += 1
            status, text = REFUSED, _cut((str(error) or repr(error)).encode())
        finally:
            self._doing -= 1
        if boot == self.boot:  # otherwise the number is that of another message meanwhile
            self.answer(number, status, text)

    async def _perform(self, data):
        if data[0] == PUBLISH:
            topic, payload = split_topic(data[2:])
            return await self._publish(self._full(topic), payload, data[1] >> 1, data[1] & 1 != 0)
        if data[0] == ASK:
            seconds, last = struct.unpack(">HI", data[1:7])
            waiting = len(self.queue)
            if last and last == self._number:  # it has had that one
                self.take(DONE, struct.pack(">IB", last, OK))
                waiting -= 1
            self._listen(seconds * 1000)
            return OK, struct.pack(">IB", self._gateway.time(), min(waiting, 255))
        if data[0] in (SUBSCRIBE, UNSUBSCRIBE):
            given = str(data[2:], "utf-8")
            if data[0] == SUBSCRIBE:
                await self._subscribe(given, min(data[1], 1))
            elif self.filters.pop(self._full(given), None) is not None:
                await self._gateway.leave(self._full(given))
            return OK, b""
        raise ValueError("malformed")

    def _full(self, topic):
        """Return the full topic or filter. One that a broker would hang up at is refused: the board
        would lose its own connection by it, for a filter at each attempt anew."""
        from mqwire import names  # seldom needed on other boards

        try:
            names.check_text(topic, _TOPIC)
        except WireError as error:
            raise Denied("a topic of node %s: %s" % (self.facts.name, error))
        if topic.count("/") > _LEVELS:
            raise Denied("a topic of node %s has too many levels" % self.facts.name)
        return self.facts.prefix + topic[2:] if topic.startswith("~/") else topic

    async def _publish(self, topic, payload, qos, retain):
        if "+" in topic or "#" in topic or not self.facts.may_publish(topic):
            raise Denied("node %s may not publish to %s" % (self.facts.name, topic))
        if qos > 1:
            raise Denied("QoS is 0 or 1")
        status = await self._gateway.publish(topic, payload, qos, retain)
        self.published += status in (OK, WAITS)
        return status, b"the gateway keeps no more messages" if status == FULL else b""

    async def _subscribe(self, given, qos):
        wanted = self._full(given)
        if not self.facts.may_subscribe(wanted):
            raise Denied("node %s may not subscribe to %s" % (self.facts.name, wanted))
        if wanted not in self.filters and len(self.filters) >= _FILTERS:
            raise Denied("a node has at most %d subscriptions" % _FILTERS)
        before = self.filters.get(wanted)
        self.filters[wanted] = given  # first: what is retained comes before the broker's answer
        try:
            await self._gateway.join(wanted, qos)
        except Exception:
            if before is None:
                self.filters.pop(wanted, None)
            raise

    # What comes for it.

    def put(self, topic_filter, topic, payload, retained):
        """Have a message wait for it that came by a filter; the oldest goes where there is no room.
        What several of its filters match comes once."""
        if next(each for each in self.filters if matches(each, topic)) != topic_filter:
            return
        if self.filters[topic_filter].startswith("~/"):
            topic = "~/" + topic[len(self.facts.prefix) :]
        size = len(payload) + len(topic.encode()) + _DELIVER_HEAD
        if size > LARGEST or len(topic.encode()) > 255:
            self.dropped += 1
            return self._gateway.note("a message for node %s is too long", self.facts.name)
        size += OVERHEAD
        busy = self._number is not None  # the first is on its way
        while len(self.queue) >= self.facts.queue or not self._gateway.room(size):
            if len(self.queue) <= busy:
                self.dropped += 1
                return self._gateway.note("no room for a message for node %s", self.facts.name)
            self._drop(busy)
        # One object each: much may have to wait.
        self.queue.append(bytearray(with_topic(bytes((DELIVER, retained, 0)), topic, payload)))
        self._gateway.held += size
        self._listen(0)

    def _drop(self, index):
        self.dropped += 1
        self._gateway.held -= len(self.queue.pop(index)) + OVERHEAD
        self._gateway.note("no more room for node %s: its oldest message goes", self.facts.name)

    def _listen(self, window_ms):
        """Send what waits, if the node listens; it does so for `window_ms` from now, at least."""
        now = ticks_ms()
        if window_ms and (self._window is None or ticks_diff(self._window, now) < window_ms):
            self._window = ticks_add(now, window_ms)
        if self.queue and self._left() > 0 and not self._sender:
            self._sender = self._gateway.spawn(self._deliver)

    def _left(self):
        """Return for how many milliseconds the node listens, to be asked now and then."""
        left = 0 if self._window is None else ticks_diff(self._window, ticks_ms())
        if left <= 0:
            self._window = None  # ticks come round again
        return left

    def look(self):
        """Be asked now and then."""
        self._left()

    async def _deliver(self):
        try:
            while self.queue:
                left = self._left()
                if left <= 0:
                    break
                message = self.queue[0]
                message[2] = min(len(self.queue) - 1, 255)
                if self._number is None:
                    self.sent = self._number = self.sent + 1
                try:
                    await self.send(message, left, self._number)
                except Lost:
                    continue  # asleep: it gets the message when it asks, with the same number
                self.queue.pop(0)
                self._gateway.held -= len(message) + OVERHEAD
                self._number = None
                self.delivered += 1
        finally:
            self._sender = None


def _cut(text):
    """Return as much of a text in UTF-8 as a frame has room for, in whole characters."""
    end = _TEXT
    while end < len(text) and text[end] & 0xC0 == 0x80:
        end -= 1
    return text[:end]
