"""Publishes and subscribes over MQTT 3.1.1 for asyncio, and keeps what it promised over outages.

This is what others call; mqboard.mqtt.connection has the one task that keeps the connection up.
What survives a connection is in mqboard.mqtt.session (subscriptions) and mqboard.mqtt.outbox
(messages not acknowledged); bytes and buffers are the business of the reader and the writer.
"""

import asyncio

from micropython import const

from mqboard.mqtt import packet
from mqboard.mqtt.connection import Connection, MqttError
from mqboard.mqtt.session import Subscription

_GOODBYE_S = const(2)
_ENOTCONN = const(128)


class Client(Connection):
    """Publishes and subscribes. `connected`, `session_present`, events `up` and `down`: its state.

    `will` is (topic, payload, qos, retain). `keepalive` is in seconds, 0: no pings. `rx_size` bytes
    are the largest packet received in one piece. `log` has the methods of mqboard.log.Logger.
    """

    dropped = 0  # QoS 0 messages given to publish while there was no connection
    _runner = None

    async def __aenter__(self):
        self._runner = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_):
        await self.disconnect()
        self._runner.cancel()
        while not self._runner.done():
            await asyncio.sleep(0)

    # What others call.

    async def publish(self, topic, payload=b"", qos=0, retain=False, timeout=None, properties=None):
        """Publish `payload` (bytes-like). Return True when it is sent (QoS 0) or acknowledged.

        QoS 0 without a connection is dropped, counted, and returns False. QoS 1 and 2 wait for a
        connection and for the acknowledgement, and are sent again after a reconnect; `payload`
        must not change until then. False when the broker hung up at this very message three times
        (`hang_ups`): it is given up, logged, and counted in `refused`. After `timeout` seconds the
        message is given up and asyncio.TimeoutError raised. PacketError: not a topic, or too long.
        `properties` (mqboard.mqtt5.properties) travel with MQTT 5 only.
        """
        if timeout is not None:
            publishing = self.publish(topic, payload, qos, retain, None, properties)
            return await asyncio.wait_for(publishing, timeout)
        if qos == 0:
            flags = packet.RETAIN if retain else 0
            return await self._publish_once(topic, payload, flags, properties)
        outbox = self.outbox
        pending = outbox.register(topic, payload, qos, retain, asyncio.Event(), properties)
        try:
            if not outbox.send_now(pending):
                await outbox.send(pending)
            await pending.event.wait()
        finally:
            outbox.give_up(pending)
        return pending.code is not None

    async def _publish_once(self, topic, payload, flags, properties):
        topic = self.outbox.head(topic)
        writer = self.writer
        # While the broker's hanging up is looked into, messages go alone: see the outbox.
        if self.connected and not self.outbox.careful:
            try:
                if writer.busy:
                    await writer.wait_turn()
                writer.compose(flags, topic, payload, 0)
                if writer.write_some():
                    await writer.flush()
                return True
            except OSError as error:
                self._lose(error)
        self.dropped += 1
        return False

    def publish_now(self, topic, payload):
        """Publish at QoS 0 from code that cannot await; blocks until the socket took it all.

        Raises OSError when there is no connection or the socket takes nothing for 10 s.
        """
        if not self.connected or self.outbox.careful:
            raise OSError(_ENOTCONN)
        try:
            self.writer.send_publish_now(self.outbox.head(topic), payload)
        except OSError as error:
            self._lose(error)
            raise

    def window(self, size):
        """Return a Window: `async with client.window(8) as window` lets up to 8 messages wait for
        acknowledgement.
        """
        from mqboard.mqtt.window import Window  # 0.9 KB on 64 bits, only for who wants one

        return Window(self.outbox, size)

    async def subscribe(
        self, topic_filter, handler, qos=1, stream=False, limit=8, properties=False
    ):
        """Have messages that match handled, after each reconnect too.

        A plain function handler(topic, payload, retained) gets topic as str and payload as a
        memoryview that is valid until it returns; with True it asks for a turn for other tasks
        before the next message. A coroutine function gets payload as bytes and
        runs in a task of its own; `limit` messages may wait for it, then the oldest is dropped and
        counted in `overflowed`. With `stream`, a plain handler(topic, view, retained, position,
        total) is called for each piece of a payload of any size; other payloads larger than the
        buffer are passed over and counted in `oversized`. With `properties` a handler gets those of
        the message, too, as its last argument: None where there are none, as with MQTT 3.1.1.

        Raises MqttError when the broker refuses the filter, PacketError if it is none. Returns at
        once without a connection, or when it breaks: the subscription is made on the next one.
        """
        packet.check_filter(topic_filter)
        if properties:
            plain = handler
            handler = lambda *message: plain(*message, None)  # noqa: E731
        await self._subscribe_to(topic_filter, Subscription(handler, qos, stream, limit))

    async def _subscribe_to(self, topic_filter, subscription):
        self.keep(topic_filter, subscription)
        if self.connected:
            code = await self._subscribe(topic_filter, subscription)
            if code is not None and code & 0x80:
                if self._subscriptions.get(topic_filter) is subscription:
                    self.drop(topic_filter)
                    self._unwanted.remove(topic_filter)
                raise MqttError("broker does not take our subscription to " + topic_filter)

    async def subscribe_again(self):
        """Make all subscriptions anew: the broker seems to have lost them, and kept the connection.
        What it retains there comes again."""
        self.forget_subscriptions()
        if self.connected:
            await self._make_subscriptions(False)

    def messages(self, topic_filter, qos=1, limit=8, properties=False):
        """Return a subscription as an iterator: `async with client.messages(filter) as messages`,
        then `async for topic, payload, retained in messages`. `limit` and `properties` as for
        `subscribe`.
        """
        from mqboard.mqtt.inbox import Messages  # 1.1 KB on 64 bits, only for who wants it

        return Messages(self, topic_filter, qos, limit, properties)

    async def unsubscribe(self, topic_filter):
        """Stop calling the handler of `topic_filter`. An unknown filter is told to the broker as
        well: a kept session may have it from an earlier boot."""
        packet.check_filter(topic_filter)
        self.drop(topic_filter)
        if self.connected:
            await self._unsubscribe(topic_filter)

    async def disconnect(self):
        """Leave politely: the broker does not publish the will. `run` would connect again."""
        if self.connected:
            try:
                goodbye = self.writer.send(bytes((packet.DISCONNECT, 0)))
                await asyncio.wait_for(goodbye, _GOODBYE_S)
            except (OSError, asyncio.TimeoutError):
                pass
            self._lose(None)
