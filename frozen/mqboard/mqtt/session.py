"""Keeps what we have subscribed to, and has what arrives find its handlers.

mqboard.mqtt.reader hands on what arrives; it is acknowledged once it was handled. Which messages at
QoS 2 we have taken already outlives a connection, and so does what the broker has to acknowledge
(mqboard.mqtt.outbox).
"""

import asyncio

from micropython import const

from mqboard.mqtt import packet
from mqboard.mqtt.outbox import Outbox
from mqboard.mqtt.reader import Reader
from mqboard.mqtt.writer import Writer

_QOS2_MAX = const(256)  # messages at QoS 2 that may be on their way to us at once
_NO_TOPIC = b"\xff\xff\xff"  # the start of no PUBLISH: 0xFF is no UTF-8
# Of mqboard.mqtt.packet, without looking them up each time.
_PUBLISH = const(0x30)
_PUBACK = const(0x40)
_ANSWERS = (packet.PUBACK, packet.PUBCOMP, packet.SUBACK, packet.UNSUBACK)


class Subscription:
    """A filter's handler; see mqboard.mqtt.Client.subscribe."""

    # In the class while it is so, and not in each one.
    stream = False
    limit = 8
    inbox = None  # for a handler that is a coroutine function

    def __init__(self, handler, qos, stream, limit):
        self.handler = handler
        self.qos = qos
        self.made = False  # the broker's session has it
        self.hang_ups = 0  # how often the link broke before the broker's answer
        if stream:
            self.stream = True
        if limit != Subscription.limit:
            self.limit = limit


class Session:
    """The base of mqboard.mqtt.connection.Connection."""

    _parts = Writer, Reader, Outbox
    # How the topics begin whose messages must not be lost when their handler finds no memory.
    vital = None

    def __init__(self, rx_size, log):
        self._log = log
        writer, reader, outbox = self._parts
        self.writer = writer()
        self.reader = reader(rx_size, self.writer)
        self.outbox = outbox(self.writer, self._lose)
        self._tasks = []  # that feed handlers
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
        self.unhandled = 0  # messages that were taken, and wait for such a handler
        self.failed = 0  # messages whose handler raised: acknowledged all the same

    def forget_connection(self):
        """Note that the broker has no session: what it was to keep has to be told again."""
        self._received.clear()
        self._unwanted.clear()
        self.forget_subscriptions()
        self.outbox.forget_connection()

    def forget_subscriptions(self):
        """Note that the broker has none of them."""
        for subscription in self._subscriptions.values():
            subscription.made = False

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

    # Packets received: called by the reader, with positions in its buffer.

    # A function that needs more than 11 words for its variables and its stack gets them from the
    # heap, at every call. Those that each message goes through need no more than that.

    def take(self, first, body, stop):
        """Take a whole packet."""
        if first == _PUBACK and stop - body == 2:
            return self.outbox.settle(_PUBACK, self.reader.number(body))
        if first & 0xF0 != _PUBLISH:
            return self._take_answer(first, body, stop)
        start = self.open(first, body, stop)
        if not self._again:
            if self._handler:
                self._hand(self.reader.view(start, stop))
            else:
                self._hand_all(self.reader.view(start, stop))
        if self._packet_id:
            self.close()

    def open(self, first, body, stop):
        """Begin with a PUBLISH: find its handlers; return where its payload starts."""
        buffer = self.reader.buffer
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
            self._find_route(self.reader.rx[body:start])
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
                self.reader.pause = True
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
                        self.reader.pause = True
                    elif coroutine is not None and hasattr(coroutine, "close"):
                        coroutine.close()  # not begun: from now on it gets copies
                        inbox = self._add_inbox(target)
                        inbox.put((self._topic, bytes(view), self._retained))
                    elif len(self._targets) == 1:
                        self._handler = target.handler
            except Exception as error:
                self.blame(error, self._topic)

    def _find_route(self, head):
        """Find who gets messages of a topic, given behind its length."""
        try:
            topic = str(head[2:], "utf-8")
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
        self._route = bytes(head)

    def piece(self, start, stop, position, total):
        """Take a piece of a payload that the buffer cannot hold."""
        if self._again:
            return
        taken = False
        for target in self._targets:
            if target.stream:
                taken = True
                view = self.reader.rx[start:stop]
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
            self.reader.acknowledge(packet.PUBREC, packet_id)
        elif self._first & 2:
            self.reader.acknowledge(packet.PUBACK, packet_id)

    def blame(self, error, topic):
        """Count and log what a handler raised. A vital message that found no memory ends the
        connection: so it is not acknowledged, and comes again."""
        self.failed += 1
        if self.vital and isinstance(error, MemoryError) and topic.startswith(self.vital):
            self._lose(error)
        if self._log:
            self._log.exception(error, "handler of %s", topic)

    def _add_inbox(self, subscription):
        from mqboard.mqtt.inbox import Inbox  # 1.1 KB on 64 bits, only for who wants one

        subscription.inbox = inbox = Inbox(self, subscription.limit)
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(inbox.serve(subscription.handler)))
        return inbox

    def _take_answer(self, first, body, stop):
        if first == packet.PINGRESP and stop == body:
            return
        if stop - body != (3 if first == packet.SUBACK else 2):
            raise packet.PacketError("unexpected packet 0x%02x" % first)
        packet_id = self.reader.number(body)
        if first == packet.PUBREL:
            self._received.discard(packet_id)
            self.reader.acknowledge(packet.PUBCOMP, packet_id)
            return
        if first == packet.PUBREC:  # of an unknown id as well: the broker waits for it
            self.reader.acknowledge(packet.PUBREL, packet_id)
        elif first not in _ANSWERS:
            raise packet.PacketError("unexpected packet 0x%02x" % first)
        code = self.reader.buffer[body + 2] if first == packet.SUBACK else 0
        self.outbox.settle(first, packet_id, code)
