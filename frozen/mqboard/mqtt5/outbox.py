"""Keeps messages for a broker of MQTT 5: no more on their way than it wants, none that it has said
it does not take, none that is too old by now; topics become short by aliases.

Limits and aliases are those of one connection: `begin` sets them. What may not leave yet waits, in
the order of the calls, and leaves when an acknowledgement makes room.
"""

import asyncio

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms
from mqboard.mqtt.outbox import Outbox
from mqboard.mqtt.packet import PUBACK, PUBCOMP, PUBREC, RETAIN, length_size, put_length
from mqboard.mqtt5 import packet
from mqboard.mqtt5 import properties as props

_ALIASES = const(8)  # topics whose aliases we remember
_ALIAS_ROOM = const(13)  # a head, a packet id, and what an alias adds
_NO_TOPIC = b"\0\0"
_AGES_MAX_S = const(500_000)  # a longer expiry is left to the broker: ticks wrap


class Outbox5(Outbox):
    """An Outbox for both protocols. `refuse(code, topic, payload)` is told what the broker does not
    take, with code 0 what is too old by now; such a message has no `code`."""

    level = 5

    def __init__(self, writer, lose):
        super().__init__(writer, lose)
        self.refuse = None
        self.begin(4, {})
        writer.on_dropped = self._forget_aliases

    def begin(self, level, granted):
        """Note what the broker of a new connection takes: the properties of its CONNACK."""
        self.level = self._writer.level = level
        self._flying = set()  # packet ids that are not acknowledged on this connection
        self._backlog = False  # messages wait for an acknowledgement before they may leave
        self._feeding = False
        if level == 4:
            granted = {}
        self.most = granted.get(props.RECEIVE_MAXIMUM, 65535)
        self.largest = granted.get(props.MAXIMUM_PACKET_SIZE, 0)
        self.qos = granted.get(props.MAXIMUM_QOS, 2)
        self.retains = granted.get(props.RETAIN_AVAILABLE, 1)
        self._aliases = {}  # topic as in a PUBLISH -> its alias
        self._alias = 0  # the one that was given last
        self._alias_most = min(granted.get(props.TOPIC_ALIAS_MAXIMUM, 0), _ALIASES)

    def register(self, topic, payload, qos, retain, event, given):
        """Return the Pending of a new message, as Outbox does. ValueError for bad properties."""
        given = given or {}
        data = props.of_message(given)  # before anything is kept
        pending = super().register(topic, payload, qos, retain, event, given)
        if data != props.NONE:
            pending.properties = data
            if given.get(props.MESSAGE_EXPIRY, _AGES_MAX_S) < _AGES_MAX_S:
                pending.given = given
                pending.since = ticks_ms()
        return pending

    def misfit(self, flags, topic, payload, data):
        """Return the reason code for which the broker would not take this message, or 0."""
        if flags >> 1 & 3 > self.qos:
            return packet.QOS_UNSUPPORTED
        if flags & RETAIN and not self.retains:
            return packet.RETAIN_UNSUPPORTED
        size = len(topic) + len(payload) + len(data) + (2 if flags & 6 else 0)
        if self.largest and 1 + length_size(size) + size > self.largest:
            return packet.PACKET_TOO_LARGE
        return 0

    def shorten(self, topic, payload, data):
        """Return (topic, properties) as they leave: with an alias, where the broker takes any."""
        if not self._alias_most or self.largest:
            size = len(topic) + len(payload) + len(data) + _ALIAS_ROOM
            if not self._alias_most or size > self.largest:
                return topic, data
        alias = self._aliases.get(topic)
        if not alias:
            alias = self._alias = self._alias % self._alias_most + 1
            for old, number in list(self._aliases.items()):
                if number == alias:
                    del self._aliases[old]
            self._aliases[topic] = alias
        else:
            topic = _NO_TOPIC
        own = bytes((props.TOPIC_ALIAS, alias >> 8, alias & 255))
        size, start = props.read_length(data, 0, len(data))
        head = bytearray(4)
        end = put_length(head, 0, size + len(own))
        return topic, bytes(head[:end]) + own + data[start:]

    def _forget_aliases(self):
        # The packet that would have told the broker of one did not leave.
        self._aliases.clear()

    def settle(self, kind, packet_id, code=0):
        """Take an acknowledgement, of whatever id; `code` is its reason."""
        if self.level == 4:
            return super().settle(kind, packet_id, code)
        refused = code >= packet.REFUSED
        if kind in (PUBACK, PUBCOMP) or kind == PUBREC and refused:
            self._flying.discard(packet_id)
        pending = self.waiting.get(packet_id)
        if pending and pending.topic and pending.awaits == kind and refused and kind != PUBCOMP:
            self._end(pending, code)
        else:
            super().settle(kind, packet_id, code)
        if self._backlog:
            self._feed_soon()

    def _end(self, pending, code):
        """Give up a message that the broker refuses, or would."""
        self.give_up(pending)
        self.refuse(code, pending.topic, pending.payload)
        pending.event.set()

    def unsent(self):
        """Return the first message that was not sent on this connection and may be, or None."""
        pending = super().unsent()
        if pending and self.level == 5 and self._full(pending):
            self._backlog = True
            return None
        return pending

    def _full(self, pending):
        return pending.awaits != PUBCOMP and len(self._flying) >= self.most

    def send_now(self, pending):
        """Send a new message without waiting; False when `send` must be awaited."""
        if self.level == 4:
            return super().send_now(pending)
        if not self.ready or self._backlog:
            return True  # restoring the session will, or who feeds
        if self._writer.busy:
            return False
        try:
            self._compose(pending)
            return not self._writer.write_some()
        except OSError:  # `send` meets it again
            return False

    def _compose(self, pending):
        if self.level == 4 or pending.awaits == PUBCOMP:
            return super()._compose(pending)
        if self.waiting.get(pending.packet_id) is not pending:
            return
        if self._full(pending):
            self._backlog = True
            return
        data = self._aged(pending)
        if data is None:
            return self._end(pending, 0)
        code = self.misfit(pending.flags, pending.topic, pending.payload, data)
        if code:
            return self._end(pending, code)
        topic, data = self.shorten(pending.topic, pending.payload, data)
        pending.stream = self._writer.stream
        self._flying.add(pending.packet_id)
        self._writer.compose(pending.flags, topic, pending.payload, pending.packet_id, data)
        pending.flags |= 8  # DUP

    def _aged(self, pending):
        """Return a message's properties as they leave now: what is left of its expiry is less. None
        when nothing is left, and nobody has seen it yet."""
        given = getattr(pending, "given", None)
        if given is None:
            return getattr(pending, "properties", props.NONE)
        age = ticks_diff(ticks_ms(), pending.since) // 1000
        left = given[props.MESSAGE_EXPIRY] - age
        if left <= 0 and not pending.flags & 8:
            return None
        given = dict(given)
        given[props.MESSAGE_EXPIRY] = max(left, 0)
        return props.encode(given, props.IN_PUBLISH)

    def _feed_soon(self):
        if not self._feeding and self.ready:
            self._feeding = True
            asyncio.create_task(self._feed())

    async def _feed(self):
        """Send what waits, as far as it may leave."""
        stream = self._writer.stream
        try:
            while self.ready and self._writer.stream is stream:
                pending = self.unsent()
                if not pending:
                    if len(self._flying) < self.most:
                        self._backlog = False
                    break
                await self.send(pending)
        finally:
            self._feeding = False
