"""Publishes and subscribes over MQTT 5, with all that it has more than 3.1.1."""

import asyncio

from micropython import const

from mqboard.clock import within
from mqboard.mqtt import packet as packet4
from mqboard.mqtt.connection import MqttError
from mqboard.mqtt5 import packet
from mqboard.mqtt5 import properties as props
from mqboard.mqtt5.connection import Connection5
from mqboard.mqtt5.packet import Refusal
from mqboard.mqtt5.session import Subscription5, with_properties

_ANSWER_S = const(15)
_GOODBYE_S = const(2)
_QOS = const(3)  # of a subscription's options those that 3.1.1 has


class Client(Connection5):
    """A mqboard.mqtt.Client that speaks MQTT 5 where it can: `level` is 5 then, otherwise 4.

    `properties` are those of the CONNECT, see mqboard.mqtt5.properties. A session that is kept
    (`clean` False) has SESSION_EXPIRY for ever unless they say otherwise; with `clean` and a
    SESSION_EXPIRY it begins anew with the program, and outlives connections. `will` may have its
    properties as a fifth. With `insist` 3.1.1 is not tried. `granted` has the properties of the
    broker's CONNACK; `refusal` is the last Refusal of a message or a filter, `expired` counts the
    messages that were too old when they could leave.
    """

    async def subscribe(
        self,
        topic_filter,
        handler,
        qos=1,
        stream=False,
        limit=8,
        properties=False,
        *,
        no_local=False,
        retain_as_published=False,
        retain_handling=0,
        subscribe_properties=None,
    ):
        """Have messages that match handled, as mqboard.mqtt.Client.subscribe does.

        `no_local`: not those that we publish. `retain_as_published`: the handler's `retained` is as
        the publisher set it. `retain_handling`: 0 to get retained messages, 1 where there was no
        such subscription, 2 not at all. `subscribe_properties` are the SUBSCRIBE's own
        (SUBSCRIPTION_ID, USER). 3.1.1 has none of these. Raises Refusal, which is an MqttError,
        when the broker refuses.
        """
        packet4.check_filter(topic_filter)
        if no_local and topic_filter.startswith("$share/"):
            raise ValueError("a shared subscription has messages of all")  # MQTT-3.8.3-4
        if properties:
            handler = with_properties(self, handler)
        options = qos | no_local << 2 | retain_as_published << 3 | retain_handling << 4
        subscription = Subscription5(handler, options, stream, limit)
        subscription.wants = properties
        subscription.data = props.encode(subscribe_properties, props.IN_SUBSCRIBE)
        self.refusal = None
        try:
            await self._subscribe_to(topic_filter, subscription)
        except MqttError:
            if self.level == 5 and self.refusal:
                raise self.refusal
            raise

    async def disconnect(self, with_will=False):
        """Leave politely: the broker publishes the will only `with_will`."""
        if with_will and self.connected and self.level == 5:
            try:
                data = bytes((packet4.DISCONNECT, 1, packet.WITH_WILL))
                await asyncio.wait_for(self.writer.send(data), _GOODBYE_S)
            except (OSError, asyncio.TimeoutError):
                pass
            self._lose(None)
        await super().disconnect()

    # Towards the broker.

    async def _publish_once(self, topic, payload, flags, given):
        data = props.of_message(given)
        if self.level == 4:
            return await super()._publish_once(topic, payload, flags, given)
        head = self.outbox.head(topic)
        writer, outbox = self.writer, self.outbox
        if self.connected and not outbox.careful:
            code = outbox.misfit(flags, head, payload, data)
            if code:
                self._note_refused(code, head, payload, quiet=True)
                return False
            try:
                if writer.busy:
                    await writer.wait_turn()
                head, data = outbox.shorten(head, payload, data)
                writer.compose(flags, head, payload, 0, data)
                if writer.write_some():
                    await writer.flush()
                return True
            except OSError as error:
                self._lose(error)
        self.dropped += 1
        return False

    async def _exchange(self, kind, answer, topic_filter, qos=None):
        if self.level == 4:
            qos = None if qos is None else qos & _QOS
            return await super()._exchange(kind, answer, topic_filter, qos)
        pending = self.outbox.expect(answer, asyncio.Event())
        try:
            subscription = None if qos is None else self._subscriptions.get(topic_filter)
            given = getattr(subscription, "data", props.NONE)
            code = self._misfit(topic_filter, given, qos)
            if not code:
                ident = pending.packet_id
                data = packet.subscribe(kind, ident, topic_filter.encode(), given, qos)
                await self.writer.send(data)
                await within(_ANSWER_S, pending.event.wait())
                code = pending.code
        except (OSError, asyncio.TimeoutError) as error:
            self._lose(str(error) or "no answer in time")
            code = None
        finally:
            self.outbox.give_up(pending)
        if (code or 0) >= packet.REFUSED:
            reason = getattr(pending, "reason", "")
            self.refusal = Refusal("broker does not take " + topic_filter, code, reason)
        return code

    def _misfit(self, topic_filter, given, qos):
        """Return the reason code for which the broker takes no such filter, or 0 (3.2.2.3)."""
        if qos is None:
            return 0
        granted = self.granted
        if topic_filter.startswith("$share/") and not granted.get(props.SHARED_AVAILABLE, 1):
            return packet.SHARED_UNSUPPORTED
        wild = "+" in topic_filter or "#" in topic_filter
        if wild and not granted.get(props.WILDCARD_AVAILABLE, 1):
            return packet.WILDCARD_UNSUPPORTED
        ids = granted.get(props.SUBSCRIPTION_IDS_AVAILABLE, 1)
        if not ids and given[1:2] == bytes((props.SUBSCRIPTION_ID,)):
            return packet.SUBSCRIPTION_IDS_UNSUPPORTED
        return 0
