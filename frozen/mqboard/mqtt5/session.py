"""Takes what a broker of MQTT 5 sends: properties, topic aliases, reasons."""

from mqboard.mqtt import packet as packet4
from mqboard.mqtt.client import Client
from mqboard.mqtt.session import Subscription
from mqboard.mqtt5 import packet
from mqboard.mqtt5 import properties as props
from mqboard.mqtt5.outbox import Outbox5
from mqboard.mqtt5.properties import MALFORMED, PROTOCOL_ERROR, Fault
from mqboard.mqtt5.reader import Reader5
from mqboard.mqtt5.writer import Writer5

_ANSWERS = (packet4.PUBACK, packet4.PUBREC, packet4.PUBREL, packet4.PUBCOMP)
_FOR_FILTERS = (packet4.SUBACK, packet4.UNSUBACK)


class Subscription5(Subscription):
    """A Subscription whose `qos` are all its options (3.8.3.1), with its properties as `data`."""

    data = props.NONE
    wants = False  # its handler gets the properties of messages


def with_properties(client, handler):
    """Return a handler that gives `handler` the properties of the message `client` takes, too."""

    def hand(*message):
        if len(message) != 4:  # otherwise it waited in an inbox, and has them
            message += (client.properties,)
        return handler(*message)

    return hand


class Session5(Client):
    """The base of mqboard.mqtt5.Client."""

    _parts = Writer5, Reader5, Outbox5

    def _begin_session(self, level):
        """Note that a connection begins: no alias is known."""
        self.level = self.reader.level = level
        self._names = {}  # alias -> topic behind its length
        self.properties = None  # of the message that is being taken
        self._change_route()

    def open(self, first, body, stop):
        """Begin with a PUBLISH: find its handlers; return where its payload starts."""
        if self.level == 4:
            return super().open(first, body, stop)
        buffer = self.reader.buffer
        start = body + 2
        if start <= stop:
            start += self.reader.number(body)
        place = start + 2 if first & 6 else start
        if place >= stop or first & 6 == 6 or first & 14 == 8:
            raise Fault(MALFORMED, "malformed PUBLISH")
        self._first = first
        self._retained = first & packet4.RETAIN != 0
        self._packet_id = 0
        self._again = False
        begin, payload = props.span(buffer, place, stop)
        self.properties = None
        alias = 0
        if payload > begin:
            alias = props.decode(buffer, begin, payload, props.IN_PUBLISH)
        self._find_name(alias, body, start)
        if place != start:
            self._take_id(self.reader.number(start))
        if payload > begin and any([getattr(each, "wants", False) for each in self._targets]):
            self.properties = found = {}
            props.decode(buffer, begin, payload, props.IN_PUBLISH, found)
            found.pop(props.TOPIC_ALIAS, None)
        return payload

    def _find_name(self, alias, body, start):
        """Find the handlers for the topic at body:start, behind its length, or for its alias
        (3.3.2.3.4)."""
        if alias > self.alias_maximum:
            raise Fault(props.ALIAS_INVALID, "topic alias %d" % alias)
        if start - body > 2:
            if not self.reader.buffer.startswith(self._route, body):
                self._find_route(self.reader.rx[body:start])
        else:
            name = self._names.get(alias)
            if name is None:
                code = props.ALIAS_INVALID if alias else PROTOCOL_ERROR
                raise Fault(code, "neither a topic nor a known alias")
            if self._route != name:
                self._find_route(name)
        if alias:
            self._names[alias] = self._route

    def behind_properties(self, position, stop):
        """Return where a PUBLISH's payload begins, for who looks at it before it is taken."""
        try:
            return props.span(self.reader.buffer, position, stop)[1]
        except Fault:
            return stop + 1

    def _add_inbox(self, subscription):
        inbox = super()._add_inbox(subscription)
        inbox.wants = getattr(subscription, "wants", False)
        return inbox

    def close(self):
        """Acknowledge a message that was taken."""
        received = self._received
        new = self.level == 5 and self._first & 4 and self._packet_id not in received
        if new and len(received) >= self.receive_maximum:
            raise Fault(packet.RECEIVE_MAXIMUM_EXCEEDED, "too many messages at QoS 2 at once")
        super().close()

    def _take_answer(self, first, body, stop):
        if self.level == 4:
            return super()._take_answer(first, body, stop)
        if first == packet4.PINGRESP and stop == body:
            return
        buffer = self.reader.buffer
        if first == packet4.DISCONNECT:
            place = props.IN_DISCONNECT
            return self._take_disconnect(*packet.read_reason(buffer, body, stop, place))
        if first not in _ANSWERS and first not in _FOR_FILTERS:
            raise Fault(PROTOCOL_ERROR, "unexpected packet 0x%02x" % first)
        packet_id = self.reader.number(body) if stop - body >= 2 else 0
        if not packet_id:
            raise Fault(MALFORMED, "packet 0x%02x without an id" % first)
        if first in _ANSWERS:
            code, found = packet.read_reason(buffer, body + 2, stop, props.IN_ANSWER)
        else:
            code, found = packet.read_reasons(buffer, body + 2, stop)
        if first == packet4.PUBREL:
            self._received.discard(packet_id)
            self.reader.acknowledge(packet4.PUBCOMP, packet_id)
            return
        self.reason = found.get(props.REASON_STRING, "")
        if first == packet4.PUBREC and code < packet.REFUSED:
            self.reader.acknowledge(packet4.PUBREL, packet_id)
        pending = self.outbox.waiting.get(packet_id)
        if pending and not pending.topic and self.reason:
            pending.reason = self.reason
        self.outbox.settle(first, packet_id, code)
        self.reason = ""
