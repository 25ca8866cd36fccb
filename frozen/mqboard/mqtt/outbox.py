"""Keeps what the broker has to acknowledge until it did, in the order of sending.

After a reconnect it is sent again with the same packet id, with DUP where the broker has kept the
session. Each message goes through here: an object of few names is quick to search for one.
"""

from collections import OrderedDict

from micropython import const

from mqboard.clock import jitter
from mqboard.mqtt import packet

# Of mqboard.mqtt.packet, without looking them up each time.
_PUBACK = const(0x40)
_PUBREC = const(0x50)
_DUP = const(8)
_BYTES = (bytes, bytearray, memoryview)


class Pending:
    """Waits for an acknowledgement: `event` is set when the broker gave it, or cannot any more."""

    # What differs from these stands in the object: the fewer names, the less it costs to make one.
    code = None  # SUBACK's return code, or 0; None while not acknowledged
    flags = 0  # of a PUBLISH, with packet.DUP once the session has seen it
    topic = None  # behind its length; None: not a PUBLISH
    payload = None
    stream = None  # on which it was sent last
    suspect = False  # the broker hung up when it was on its way
    hang_ups = 0  # how often, when nothing else was

    def __init__(self, packet_id, awaits, event):
        self.packet_id = packet_id
        self.awaits = awaits  # the type of the packet that must come next
        self.event = event


class Outbox:
    """Sends messages and keeps them until acknowledged; `lose(error)` is called when that fails."""

    def __init__(self, writer, lose):
        self.waiting = OrderedDict()  # packet id -> Pending
        self.ready = False  # messages may go: the session is restored
        self.careful = False  # suspects go alone, before anything else
        self._writer = writer
        self._lose = lose
        # Not 1: a session from before a reset may still wait for us to release that one.
        self.last_id = jitter(65535)
        self._head_of = self._head = None  # the topic published to last

    def head(self, topic):
        """Return `topic` as a PUBLISH has it, kept for the next message; raises PacketError."""
        if topic != self._head_of:
            self._head = packet.topic_head(topic)
            self._head_of = topic
        return self._head

    def register(self, topic, payload, qos, retain, event, properties):
        """Return the Pending of a new message at QoS 1 or 2; `send` sends it. The `properties` are
        for MQTT 5.
        """
        if qos not in (1, 2):
            raise ValueError("qos is %r, not 1 or 2" % qos)
        if not isinstance(payload, _BYTES):  # now, not on each connection that it would break
            raise TypeError("payload is no bytes")
        if topic != self._head_of:
            self.head(topic)
        pending = self.expect(_PUBACK if qos == 1 else _PUBREC, event)
        pending.flags = qos << 1 | (packet.RETAIN if retain else 0)
        pending.topic = self._head
        pending.payload = payload
        return pending

    def expect(self, awaits, event):
        """Return the Pending of a packet with a new id, whose acknowledgement is an `awaits`."""
        waiting = self.waiting
        packet_id = self.last_id
        while True:
            packet_id = packet_id % 65535 + 1
            if packet_id not in waiting:
                break
        self.last_id = packet_id
        waiting[packet_id] = pending = Pending(packet_id, awaits, event)
        return pending

    def settle(self, kind, packet_id, code=0):
        """Take an acknowledgement, of whatever id."""
        pending = self.waiting.get(packet_id)
        if pending and pending.awaits == kind:
            if kind == _PUBREC:
                pending.awaits = packet.PUBCOMP
            else:
                del self.waiting[packet_id]
                pending.code = code
                pending.event.set()

    def give_up(self, pending):
        """Forget a packet, acknowledged or not."""
        if self.waiting.get(pending.packet_id) is pending:
            del self.waiting[pending.packet_id]

    def hung_up(self, most):
        """Find out at which message the broker hung up: give up one at which it did `most` times.

        Return that message, or None; its sender sees that it has no `code`. Of several that are on
        their way it may be any: when that happens to one twice, they go alone from then on.
        """
        flying = [each for each in self.waiting.values() if self._flies(each)]
        for pending in flying:
            self.careful = self.careful or pending.suspect
            pending.suspect = True
        if len(flying) == 1:
            pending.hang_ups += 1
            if pending.hang_ups >= most:
                self.give_up(pending)
                pending.event.set()
                return pending

    def _flies(self, pending):
        # PUBCOMP: the broker has accepted that one.
        on_its_way = pending.topic and pending.awaits != packet.PUBCOMP
        return on_its_way and pending.stream is self._writer.stream

    def forget_connection(self):
        """Note that the broker has no session: everything is new to it."""
        for pending in self.waiting.values():
            pending.flags &= ~packet.DUP
            if pending.awaits == packet.PUBCOMP:
                # Accepted, but not released: brokers deliver on release.
                pending.awaits = packet.PUBREC

    def unsent(self):
        """Return the first message that was not sent on this connection, or None.

        When there is no suspect among them any more, there is no reason to be careful.
        """
        stream = self._writer.stream
        unsent = [p for p in self.waiting.values() if p.topic and p.stream is not stream]
        self.careful = self.careful and any([pending.suspect for pending in unsent])
        return unsent[0] if unsent else None

    def send_now(self, pending):
        """Send a new message without waiting; False when `send` must be awaited.

        Neither raises for a broken connection: the next one sends the message again.
        """
        if not self.ready:
            return True  # restoring the session will
        if self._writer.busy:
            return False
        try:
            pending.stream = self._writer.stream
            self._writer.compose(pending.flags, pending.topic, pending.payload, pending.packet_id)
            pending.flags |= _DUP
            return not self._writer.write_some()
        except OSError:  # `send` meets it again
            return False

    async def send(self, pending):
        """Send a registered message, at most once on one connection."""
        writer = self._writer
        stream = writer.stream
        try:
            if writer.busy:
                await writer.wait_turn()
            if writer.stream is stream:
                if pending.stream is not stream:
                    self._compose(pending)
                await writer.flush()
        except OSError as error:
            self._lose(error)

    def _compose(self, pending):
        writer = self._writer
        pending.stream = writer.stream
        if pending.awaits == packet.PUBCOMP:
            writer.compose_release(pending.packet_id)
        else:
            writer.compose(pending.flags, pending.topic, pending.payload, pending.packet_id)
            pending.flags |= _DUP
