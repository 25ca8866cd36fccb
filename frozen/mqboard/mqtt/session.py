"""Keeps what an MQTT client and its broker owe each other, over any number of connections.

What the broker has not acknowledged stays in `_pending`, in the order of sending: it is sent again
with the same packet id and DUP where the broker has kept the session, anew where not. What we have
subscribed to, and which messages at QoS 2 we have taken already, is here, too; so that what arrives
(mqboard.mqtt.framing hands it on) finds its handlers, and is acknowledged once it was handled.
"""

import asyncio

from micropython import const

from mqboard.clock import jitter
from mqboard.mqtt import packet
from mqboard.mqtt.framing import Framing

_QOS2_MAX = const(256)  # messages at QoS 2 that may be on their way to us at once
_NO_TOPIC = b"\xff\xff\xff"  # the start of no PUBLISH: 0xFF is no UTF-8
_BYTES = (bytes, bytearray, memoryview)
_ANSWERS = (packet.PUBACK, packet.PUBCOMP, packet.SUBACK, packet.UNSUBACK)


class Pending:
    """What the broker has to acknowledge: `event` is set when it did, or cannot any more."""

    def __init__(self, packet_id, awaits, event):
        self.packet_id = packet_id
        self.awaits = awaits  # the type of the packet that must come next
        self.event = event
        self.code = None  # SUBACK's return code, or 0; None while not acknowledged
        self.flags = 0  # of a PUBLISH, with packet.DUP once the session has seen it
        self.topic = None  # behind its length; None: not a PUBLISH
        self.payload = None
        self.stream = None  # on which it was sent last


class Subscription:
    """A filter's handler; see mqboard.mqtt.Client.subscribe."""

    def __init__(self, handler, qos, stream, limit):
        self.handler = handler
        self.qos = qos
        self.stream = stream
        self.limit = limit
        self.made = False  # the broker's session has it
        self.hang_ups = 0  # how often the link broke before the broker's answer
        self.inbox = None  # for a handler that is a coroutine function


class Session:
    """The base of mqboard.mqtt.Client."""

    def __init__(self, rx_size, log):
        self._log = log
        self.framing = Framing(rx_size)
        self._tasks = []  # that feed handlers
        self._pending = []
        # Not 1: a session from before a reset may still wait for us to release that one.
        self._last_id = jitter(65535)
        self._head_of = self._head = None  # the topic published to last
        self._subscriptions = {}  # filter -> Subscription
        self._unwanted = []  # filters that a kept session may still have
        self._received = set()  # ids of QoS 2 messages taken and not released yet
        self._route = _NO_TOPIC  # length and topic of the last message, as they came
        self._topic = None
        self._targets = ()  # its subscriptions
        self._handler = None  # the handler, when it is the only one and a plain function
        self._retained = False
        self._first = 0  # of the message that is being taken
        self._packet_id = 0
        self._again = False  # it was taken before
        self.unmatched = None  # handler of messages that no subscription matches
        self.oversized = 0  # messages larger than the buffer that nobody takes as a stream
        self.overflowed = 0  # messages a coroutine handler was too slow for
        self.failed = 0  # messages whose handler raised: acknowledged all the same

    def forget_connection(self):
        """Note that the broker has no session: what it was to keep has to be told again."""
        self._received.clear()
        self._unwanted.clear()
        for subscription in self._subscriptions.values():
            subscription.made = False
        for pending in self._pending:
            pending.flags &= ~packet.DUP
            if pending.awaits == packet.PUBCOMP:
                # Accepted, but not released: brokers deliver on release.
                pending.awaits = packet.PUBREC

    def keep(self, topic_filter, subscription):
        """Have messages that match go to `subscription`."""
        replaced = self._subscriptions.get(topic_filter)
        if replaced and replaced.inbox:
            replaced.inbox.finish()
        self._subscriptions[topic_filter] = subscription
        self._change_route()
        if topic_filter in self._unwanted:
            self._unwanted.remove(topic_filter)

    def drop(self, topic_filter):
        """Forget a subscription, and have the broker forget it."""
        subscription = self._subscriptions.pop(topic_filter, None)
        if subscription and subscription.inbox:
            subscription.inbox.stop()
        self._change_route()
        if topic_filter not in self._unwanted:
            self._unwanted.append(topic_filter)

    def _change_route(self):
        self._route = _NO_TOPIC
        self._handler = None

    # Packets that are to be acknowledged.

    def register(self, topic, payload, qos, retain, event):
        """Return the Pending of a new message at QoS 1 or 2; `transmit` sends it."""
        if qos not in (1, 2):
            raise ValueError("qos is %r, not 1 or 2" % qos)
        if not isinstance(payload, _BYTES):  # now, not on each connection that it would break
            raise TypeError("payload is no bytes")
        topic = self.head(topic)
        pending = self._expect(packet.PUBACK if qos == 1 else packet.PUBREC, event)
        pending.flags = qos << 1 | (packet.RETAIN if retain else 0)
        pending.topic = topic
        pending.payload = payload
        return pending

    def head(self, topic):
        """Return `topic` as a PUBLISH has it, kept for the next message; raises PacketError."""
        if topic != self._head_of:
            self._head = packet.topic_head(topic)
            self._head_of = topic
        return self._head

    def _expect(self, awaits, event):
        pending = Pending(self._new_id(), awaits, event)
        self._pending.append(pending)
        return pending

    def _new_id(self):
        while True:
            self._last_id = self._last_id % 65535 + 1
            for pending in self._pending:
                if pending.packet_id == self._last_id:
                    break
            else:
                return self._last_id

    def _find(self, packet_id, awaits):
        for pending in self._pending:
            if pending.packet_id == packet_id and pending.awaits == awaits:
                return pending

    def give_up(self, pending):
        """Forget a message, acknowledged or not."""
        if pending in self._pending:
            self._pending.remove(pending)

    # Packets received: called by the framing, with positions in its buffer.

    # A function that needs more than 11 words for its variables and its stack gets them from the
    # heap, at every call. Those that each message goes through need no more than that.

    def take(self, first, body, stop):
        """Take a whole packet."""
        if first & 0xF0 != packet.PUBLISH:
            return self._take_answer(first, body, stop)
        start = self.open(first, body, stop)
        if not self._again:
            if self._handler:
                self._hand(self.framing.view(start, stop))
            else:
                self._hand_all(self.framing.view(start, stop))
        if self._packet_id:
            self.close()

    def open(self, first, body, stop):
        """Begin with a PUBLISH: find its handlers; return where its payload starts."""
        buffer = self.framing.buffer
        start = body + 2
        if start > stop:
            raise packet.PacketError("malformed PUBLISH")
        start += buffer[body] << 8 | buffer[body + 1]
        self._first = first
        self._retained = first & packet.RETAIN != 0
        self._packet_id = 0
        self._again = False
        payload = start + 2 if first & 6 else start
        if payload > stop or first & 6 == 6:
            raise packet.PacketError("malformed PUBLISH")
        if not buffer.startswith(self._route, body):
            self._find_route(body, start)
        if payload != start:
            self._take_id(buffer[start] << 8 | buffer[start + 1])
        return payload

    def _take_id(self, packet_id):
        if not packet_id:
            raise packet.PacketError("packet id 0")
        self._packet_id = packet_id
        self._again = self._first & 4 != 0 and packet_id in self._received

    def _hand(self, view):
        """Give the message to the one plain handler it has."""
        try:
            if self._handler(self._topic, view, self._retained):
                self.framing.pause = True
        except Exception as error:
            self.blame(error, self._topic)

    def _hand_all(self, view):
        """Give the message to everyone, and see whether there is one plain handler."""
        for target in self._targets:
            try:
                if target.stream:
                    target.handler(self._topic, view, self._retained, 0, len(view))
                elif target.inbox:
                    target.inbox.put((self._topic, bytes(view), self._retained))
                else:
                    coroutine = target.handler(self._topic, view, self._retained)
                    if coroutine is True:
                        self.framing.pause = True
                    elif coroutine is not None and hasattr(coroutine, "close"):
                        coroutine.close()  # not begun: from now on it gets copies
                        inbox = self._add_inbox(target)
                        inbox.put((self._topic, bytes(view), self._retained))
                    elif len(self._targets) == 1:
                        self._handler = target.handler
            except Exception as error:
                self.blame(error, self._topic)

    def _find_route(self, body, start):
        try:
            topic = str(self.framing.rx[body + 2 : start], "utf-8")
        except ValueError:
            topic = ""
        if not topic or "+" in topic or "#" in topic:
            raise packet.PacketError("malformed topic")
        self._change_route()
        self._targets = targets = []
        for topic_filter, subscription in self._subscriptions.items():
            if packet.matches(topic_filter, topic):
                targets.append(subscription)
        if not targets and self.unmatched:
            targets.append(Subscription(self.unmatched, 0, False, 8))
        self._topic = topic
        self._route = bytes(self.framing.rx[body:start])

    def piece(self, start, stop, position, total):
        """Take a piece of a payload that the buffer cannot hold."""
        if self._again:
            return
        taken = False
        for target in self._targets:
            if target.stream:
                taken = True
                view = self.framing.rx[start:stop]
                try:
                    target.handler(self._topic, view, self._retained, position, total)
                except Exception as error:
                    self.blame(error, self._topic)
        if not taken and position == 0:
            self.oversized += 1

    def pass_over(self, first, packet_id):
        """Acknowledge a PUBLISH that was not read."""
        self.oversized += 1
        self._first = first
        self._packet_id = packet_id
        self.close()

    def close(self):
        """Acknowledge a message that was taken."""
        packet_id = self._packet_id
        if self._first & 4:
            if len(self._received) >= _QOS2_MAX and packet_id not in self._received:
                raise packet.PacketError("too many messages at QoS 2 at once")
            self._received.add(packet_id)
            self.framing.acknowledge(packet.PUBREC, packet_id)
        elif self._first & 2:
            self.framing.acknowledge(packet.PUBACK, packet_id)

    def blame(self, error, topic):
        """Count and log what a handler raised."""
        self.failed += 1
        if self._log:
            self._log.exception(error, "handler of %s", topic)

    def _add_inbox(self, subscription):
        from mqboard.mqtt.inbox import Inbox

        subscription.inbox = inbox = Inbox(self, subscription.limit)
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(inbox.serve(subscription.handler)))
        return inbox

    def _take_answer(self, first, body, stop):
        if first == packet.PINGRESP and stop == body:
            return
        if stop - body != (3 if first == packet.SUBACK else 2):
            raise packet.PacketError("unexpected packet 0x%02x" % first)
        self._settle(first, self.framing.buffer, body)

    def _settle(self, first, buffer, body):
        packet_id = buffer[body] << 8 | buffer[body + 1]
        if first == packet.PUBREL:
            self._received.discard(packet_id)
            self.framing.acknowledge(packet.PUBCOMP, packet_id)
            return
        if first == packet.PUBREC:  # of an unknown id as well: the broker waits for it
            self.framing.acknowledge(packet.PUBREL, packet_id)
        elif first not in _ANSWERS:
            raise packet.PacketError("unexpected packet 0x%02x" % first)
        pending = self._find(packet_id, first)
        if pending and first == packet.PUBREC:
            pending.awaits = packet.PUBCOMP
        elif pending:
            pending.code = buffer[body + 2] if first == packet.SUBACK else 0
            self._pending.remove(pending)
            pending.event.set()
