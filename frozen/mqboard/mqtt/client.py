"""An MQTT 3.1.1 client for asyncio that keeps its connection up, and its promises.

`run()` is the one task: it opens a stream, connects, restores what the broker forgot, hands
received messages to their handlers, sends pings, and starts over when the link breaks. Everybody
else calls `publish` and `subscribe`. Bytes and buffers are the business of mqboard.mqtt.framing.

What survives a connection (subscriptions, messages not acknowledged) is in mqboard.mqtt.session.
The stream comes from `await opener()`, which has timeouts of its own; what a stream must be able
to do stands in mqboard.mqtt.framing.
"""

import asyncio

from micropython import const

from mqboard.clock import jitter, ticks_diff, ticks_ms
from mqboard.mqtt import packet
from mqboard.mqtt.session import Session, Subscription

_ANSWER_S = const(15)  # how long a CONNACK or a SUBACK may take
_GOODBYE_S = const(2)
_HANG_UPS = const(3)  # at a SUBSCRIBE, one after the other, until it has to wait
_BACKOFF_MIN_MS = const(500)
_BACKOFF_SOON_MS = const(1_300)  # with its jitter at most 2 s, for a broker that restarts
_SOON = const(10)  # attempts, about 12 s; then the wait doubles up to
_BACKOFF_MAX_MS = const(30_000)
_ENOTCONN = const(128)


class MqttError(Exception):
    """The broker refused us or is silent."""


class Client(Session):
    """`connected`, `session_present` and the events `up` and `down` tell the state.

    `will` is (topic, payload, qos, retain). `keepalive` is in seconds, 0: no pings. `rx_size` bytes
    are the largest packet received in one piece. `log` has the methods of mqboard.log.Logger.
    """

    def __init__(
        self,
        opener,
        client_id,
        *,
        user=None,
        password=None,
        keepalive=60,
        will=None,
        clean=True,
        rx_size=4608,
        log=None,
    ):
        super().__init__(rx_size, log)
        self._opener = opener
        self.keepalive = keepalive
        self.backoff_ms = _BACKOFF_MIN_MS  # before the first new attempt; doubles
        self._connect_packet = packet.connect(
            client_id.encode(),
            keepalive,
            clean,
            will and (will[0].encode(), will[1], will[2], will[3]),
            None if user is None else user.encode(),
            password.encode() if isinstance(password, str) else password,
        )
        self._lost = True
        self._lost_why = None
        self._runner = None
        self.connected = False
        self.session_present = False
        self.connects = 0
        self.failures = 0  # attempts to connect since the last connection
        self.dropped = 0  # QoS 0 messages given to publish while there was no connection
        self.on_up = None  # called without arguments after each connect
        self.up = asyncio.Event()
        self.down = asyncio.Event()
        self.down.set()

    async def __aenter__(self):
        self._runner = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_):
        await self.disconnect()
        self._runner.cancel()
        while not self._runner.done():
            await asyncio.sleep(0)

    # What others call.

    async def publish(self, topic, payload=b"", qos=0, retain=False, timeout=None):
        """Publish `payload` (bytes-like). Return True when it is sent (QoS 0) or acknowledged.

        QoS 0 without a connection is dropped, counted, and returns False. QoS 1 and 2 wait for a
        connection and for the acknowledgement, and are sent again after a reconnect; `payload`
        must not change until then. After `timeout` seconds the message is given up and
        asyncio.TimeoutError raised. PacketError: not a topic, or too long.
        """
        if timeout is not None:
            return await asyncio.wait_for(self.publish(topic, payload, qos, retain), timeout)
        if qos == 0:
            return await self._publish_once(topic, payload, packet.RETAIN if retain else 0)
        pending = self.register(topic, payload, qos, retain, asyncio.Event())
        try:
            if not self.transmit_now(pending):
                await self.transmit(pending)
            await pending.event.wait()
        finally:
            self.give_up(pending)
        return True

    async def _publish_once(self, topic, payload, flags):
        topic = self.head(topic)
        framing = self.framing
        if self.connected:
            try:
                if framing.busy:
                    await framing.wait_turn()
                framing.compose(flags, topic, payload, 0)
                if framing.write_some():
                    await framing.flush()
                return True
            except OSError as error:
                self._lose(error)
        self.dropped += 1
        return False

    def publish_now(self, topic, payload):
        """Publish at QoS 0 from code that cannot await; blocks until the socket took it all.

        Raises OSError when there is no connection or the socket takes nothing for 10 s.
        """
        if not self.connected:
            raise OSError(_ENOTCONN)
        try:
            self.framing.send_publish_now(self.head(topic), payload)
        except OSError as error:
            self._lose(error)
            raise

    def window(self, size):
        """`async with client.window(8) as window`: publish with up to 8 unacknowledged messages."""
        from mqboard.mqtt.window import Window

        return Window(self, size)

    async def subscribe(self, topic_filter, handler, qos=1, stream=False, limit=8):
        """Have messages that match handled, after each reconnect too.

        A plain function handler(topic, payload, retained) gets topic as str and payload as a
        memoryview that is valid until it returns; with True it asks for a turn for other tasks
        before the next message. A coroutine function gets payload as bytes and
        runs in a task of its own; `limit` messages may wait for it, then the oldest is dropped and
        counted in `overflowed`. With `stream`, a plain handler(topic, view, retained, position,
        total) is called for each piece of a payload of any size; other payloads larger than the
        buffer are passed over and counted in `oversized`.

        Raises MqttError when the broker refuses the filter, PacketError if it is none. Returns at
        once without a connection, or when it breaks: the subscription is made on the next one.
        """
        packet.check_filter(topic_filter)
        subscription = Subscription(handler, qos, stream, limit)
        self.keep(topic_filter, subscription)
        if self.connected:
            code = await self._subscribe(topic_filter, subscription)
            if code is not None and code & 0x80:
                if self._subscriptions.get(topic_filter) is subscription:
                    self.drop(topic_filter)
                    self._unwanted.remove(topic_filter)
                raise MqttError("broker does not take our subscription to " + topic_filter)

    def messages(self, topic_filter, qos=1, limit=8):
        """`async with client.messages(filter) as messages`, then `async for topic, payload,
        retained in messages`: a subscription as an iterator. `limit` as for `subscribe`."""
        from mqboard.mqtt.inbox import Messages

        return Messages(self, topic_filter, qos, limit)

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
                goodbye = self.framing.send(bytes((packet.DISCONNECT, 0)))
                await asyncio.wait_for(goodbye, _GOODBYE_S)
            except (OSError, asyncio.TimeoutError):
                pass
            self._lose(None)

    async def run(self):
        """Connect, serve, reconnect with backoff, for ever. Cancel it to stop."""
        delay = self.backoff_ms
        try:
            while True:
                why = await self._live()
                if not self.failures:
                    delay = self.backoff_ms  # only after a connection that came up: no hammering
                self.failures += 1
                wait = delay // 2 + jitter(delay)
                if self._log:
                    self._log.warning("no broker: %s; again in %d ms", why, wait)
                await asyncio.sleep(wait / 1000)
                longest = _BACKOFF_SOON_MS if self.failures < _SOON else _BACKOFF_MAX_MS
                delay = max(self.backoff_ms, min(delay * 2, longest))
        finally:
            for task in self._tasks:
                task.cancel()
            self._tasks.clear()
            for subscription in self._subscriptions.values():
                subscription.inbox = None  # run again, it needs a new task

    # One connection.

    async def _live(self):
        """Connect and serve until the connection is lost; return why."""
        try:
            await self._connect()
            await self._serve()
            why = self._lost_why
        except asyncio.TimeoutError:
            why = "no answer in time"
        except Exception as error:  # a full heap, too, may be better at the next attempt
            why = error
        finally:
            self._lose(None)
            self.down.set()
        return "disconnected" if why is None else str(why) or repr(why)

    async def _connect(self):
        stream = await self._opener()
        self._lost = False
        self._lost_why = None
        self.framing.attach(stream)
        answer = asyncio.wait_for(self._introduce(), _ANSWER_S)
        self.session_present, code = await answer
        if code:
            known = code < len(packet.REFUSALS)
            raise MqttError(packet.REFUSALS[code] if known else "refused with code %d" % code)

    async def _introduce(self):
        await self.framing.send(self._connect_packet)
        return await self.framing.read_connack()

    async def _serve(self):
        """Read until the connection is lost, while a second task attends to it."""
        self.connected = True
        if not self.session_present:
            self.forget_connection()
        attendant = asyncio.create_task(self._attend())
        try:
            await self.framing.read_packets(self)
        except Exception as error:  # whatever it is, a new connection is the answer
            self._lose(error)
        finally:
            attendant.cancel()

    async def _attend(self):
        """Have the session restored, and keep the connection alive meanwhile and from then on."""
        restorer = asyncio.create_task(self._come_up())
        try:
            pause = int(self.keepalive * 250)
            while pause:
                due = ticks_ms() + pause
                await asyncio.sleep(pause / 1000)
                self._keep_alive(pause, ticks_diff(ticks_ms(), due))
                if self.up.is_set():
                    restorer = None  # it has ended, and its memory is free
                    await self._make_subscriptions(True)
            await restorer  # no pings: there is nothing else to do
        except Exception as error:
            self._lose(error)
        finally:
            if restorer:
                restorer.cancel()

    async def _come_up(self):
        """Restore the session and tell that the connection is up."""
        try:
            await self._restore()
            if self._lost:
                return
            self.connects += 1
            self.failures = 0
            self.down.clear()
            self.up.set()
            if self.on_up:
                try:
                    self.on_up()
                except Exception as error:  # the connection is none the worse for it
                    self.blame(error, "on_up")
        except asyncio.TimeoutError:
            self._lose("no answer in time")
        except Exception as error:
            self._lose(error)

    async def _restore(self):
        """Make the broker's session what ours is: subscriptions first, then what is pending."""
        await self._make_subscriptions(False)
        for topic_filter in list(self._unwanted):
            await self._unsubscribe(topic_filter)
        sent = 0
        while sent < len(self._pending) and not self._lost:
            pending = self._pending[sent]
            if pending.topic and pending.stream is not self.framing.stream:
                await self.transmit(pending)
                sent = 0  # it may have been acknowledged, or more been registered
            else:
                sent += 1

    async def _make_subscriptions(self, suspect):
        """Make those that are not made; `suspect`: those at which the broker seems to hang up.

        These have to wait until the connection serves everything else.
        """
        for topic_filter, subscription in list(self._subscriptions.items()):
            if subscription.made or (subscription.hang_ups >= _HANG_UPS) != suspect:
                continue
            if self._lost:
                return  # not at this one
            code = await self._subscribe(topic_filter, subscription)
            if self._log and (code or 0) & 0x80:
                self._log.error("broker refuses to subscribe us to %s", topic_filter)

    def _keep_alive(self, pause, late):
        """Ping a silent link; give a link up that stayed silent after the ping."""
        now = ticks_ms()
        framing = self.framing
        if late > pause:
            framing.last_rx = now  # it was us: the event loop stood still
        silent = ticks_diff(now, framing.last_rx)
        if silent > 5 * pause:
            self._lose(MqttError("broker is silent"))
        elif silent >= 2 * pause or ticks_diff(now, framing.last_tx) >= 2 * pause:
            # Not waiting for a full socket: that is how a dead link looks.
            framing.send_soon(bytes((packet.PINGREQ, 0)))

    def _lose(self, why):
        """Give the connection up: wake everybody who waits for it, the reader included."""
        if not self._lost:
            self._lost_why = why
            self._lost = True
        self.connected = False
        self.up.clear()
        for pending in self._pending:
            if not pending.topic:
                pending.event.set()
        self.framing.detach()

    def transmit_now(self, pending):
        """Send a registered message without waiting; False when `transmit` must be awaited.

        Neither raises for a broken connection: the next one sends the message again.
        """
        if not self.up.is_set():
            return True  # `_restore` will
        if self.framing.busy:
            return False
        try:
            self._compose(pending)
            return not self.framing.write_some()
        except OSError:  # without a name it takes three words less, see mqboard.mqtt.session
            self._lose("it does not take what we write")
            return True

    async def transmit(self, pending):
        """Send a registered message, at most once on one connection."""
        framing = self.framing
        stream = framing.stream
        try:
            if framing.busy:
                await framing.wait_turn()
            if framing.stream is stream:
                if pending.stream is not stream:
                    self._compose(pending)
                await framing.flush()
        except OSError as error:
            self._lose(error)

    def _compose(self, pending):
        framing = self.framing
        pending.stream = framing.stream
        if pending.awaits == packet.PUBCOMP:
            framing.compose_release(pending.packet_id)
        else:
            framing.compose(pending.flags, pending.topic, pending.payload, pending.packet_id)
            pending.flags |= packet.DUP

    async def _subscribe(self, topic_filter, subscription):
        """Send a SUBSCRIBE; return its return code, None when the link broke first."""
        subscription.hang_ups += 1  # until the answer comes
        code = await self._exchange(packet.SUBSCRIBE, packet.SUBACK, topic_filter, subscription.qos)
        if code is not None:
            subscription.hang_ups = 0
            subscription.made = not code & 0x80
        return code

    async def _unsubscribe(self, topic_filter):
        code = await self._exchange(packet.UNSUBSCRIBE, packet.UNSUBACK, topic_filter)
        if code is not None and topic_filter in self._unwanted:
            self._unwanted.remove(topic_filter)

    async def _exchange(self, kind, answer, topic_filter, qos=None):
        """Send a packet; return its acknowledgement's code, or None when the link broke first."""
        pending = self._expect(answer, asyncio.Event())
        try:
            data = packet.subscribe(kind, pending.packet_id, topic_filter.encode(), qos)
            await self.framing.send(data)
            await asyncio.wait_for(pending.event.wait(), _ANSWER_S)
        except (OSError, asyncio.TimeoutError) as error:
            self._lose(str(error) or "no answer in time")
        finally:
            self.give_up(pending)
        return pending.code
