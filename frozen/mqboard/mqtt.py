"""An MQTT 3.1.1 client for asyncio that keeps its connection up: QoS 0 and 1, will, reconnect.

`run()` is the one task: it opens a stream, connects, subscribes again, hands received messages to
their handlers, sends pings, and starts over when the link breaks. Everybody else calls `publish`
and `subscribe`. Bytes and buffers are the business of mqboard.framing.

The stream comes from `await opener()`; what it must be able to do stands in mqboard.framing.
"""

import asyncio
import struct

from micropython import const

from mqboard import packet
from mqboard.clock import jitter, ticks_diff, ticks_ms
from mqboard.framing import Framing

_ANSWER_S = const(15)  # how long each step of connecting, and a SUBACK, may take
_BACKOFF_MIN_MS = const(500)
_BACKOFF_MAX_MS = const(30_000)
_ENOTCONN = const(128)


class MqttError(Exception):
    """The broker refused us or is silent."""


class _Waiter:
    """One acknowledgement somebody waits for: the event is set when it came or the link broke."""

    def __init__(self):
        self.event = asyncio.Event()
        self.code = None  # SUBACK's return code, or 0; None while not acknowledged


class Client:
    """`connected` and the events `up` and `down` tell the state.

    `will` is (topic, payload, qos, retain). `keepalive` is in seconds. `rx_size` bytes are the
    largest packet received; larger ones are passed over and counted in `framing.oversized`.
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
        self._opener = opener
        self.keepalive = keepalive
        self.backoff_ms = _BACKOFF_MIN_MS  # before the first new attempt; doubles
        self._connect_packet = packet.connect(
            client_id.encode(),
            keepalive,
            clean,
            will and (will[0].encode(), will[1], will[2], will[3]),
            None if user is None else user.encode(),
            None if password is None else password.encode(),
        )
        self._log = log
        self.framing = Framing(rx_size)
        self._lost = True
        self._lost_why = None
        self._waiters = {}  # packet id -> _Waiter
        self._last_id = 0
        self._subscriptions = {}  # filter -> (handler, qos)
        self.connected = False
        self.session_present = False
        self.connects = 0
        self.dropped = 0  # QoS 0 messages given to publish while there was no connection
        self.on_up = None  # called without arguments after each connect
        self.up = asyncio.Event()
        self.down = asyncio.Event()
        self.down.set()

    # What others call.

    async def publish(self, topic, payload=b"", qos=0, retain=False):
        """Publish `payload` (bytes-like). Return True when sent (QoS 0) or acknowledged (QoS 1).

        QoS 0 without a connection is dropped, counted, and returns False. QoS 1 waits for a
        connection and for the acknowledgement, and sends again after a reconnect.
        """
        topic = topic.encode()
        flags = packet.RETAIN if retain else 0
        if qos == 0:
            return await self._publish_once(flags, topic, payload)
        packet_id = self._new_id()
        waiter = self._waiters[packet_id] = _Waiter()
        sent = False
        try:
            while waiter.code is None:
                await self.up.wait()
                waiter.event.clear()
                repeat = packet.DUP if sent and self.session_present else 0
                try:
                    await self.framing.send_publish(
                        0x02 | flags | repeat, topic, payload, packet_id
                    )
                except OSError as error:
                    self._lose(error)
                    await self.down.wait()
                    continue
                sent = True
                await waiter.event.wait()
        finally:
            del self._waiters[packet_id]
        return True

    async def _publish_once(self, flags, topic, payload):
        if self.connected:
            try:
                await self.framing.send_publish(flags, topic, payload, 0)
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
            self.framing.send_publish_now(topic.encode(), payload)
        except OSError as error:
            self._lose(error)
            raise

    async def subscribe(self, topic_filter, handler, qos=1):
        """Call handler(topic, payload, retained) for messages that match, after each reconnect too.

        `topic` is a str, `payload` a memoryview that is valid until the handler returns. Raises
        MqttError when the broker refuses the filter. Returns at once without a connection: the
        subscription is made when there is one.
        """
        self._subscriptions[topic_filter] = (handler, qos)
        if self.connected:
            code = await self._subscribe(topic_filter, qos)
            if code is None or code & 0x80:
                # Not kept: a filter that makes the broker hang up would do so for ever.
                self._subscriptions.pop(topic_filter, None)
                raise MqttError("broker does not take our subscription to " + topic_filter)

    async def unsubscribe(self, topic_filter):
        """Stop calling the handler of `topic_filter`; unknown filters are ignored."""
        if self._subscriptions.pop(topic_filter, None) and self.connected:
            packet_id = self._new_id()
            data = packet.subscribe(packet.UNSUBSCRIBE, packet_id, topic_filter.encode())
            await self._exchange(data, packet_id)

    async def disconnect(self):
        """Leave politely: the broker does not publish the will. `run` would connect again."""
        if self.connected:
            try:
                await self.framing.send(bytes((packet.DISCONNECT, 0)))
            except OSError:
                pass
            self._lose(None)

    async def run(self):
        """Connect, serve, reconnect with backoff, for ever. Cancel it to stop."""
        delay = self.backoff_ms
        while True:
            connects = self.connects
            try:
                await self._connect()
                await self._serve()
                why = self._lost_why
            except asyncio.TimeoutError:
                why = "no answer in time"
            except (OSError, EOFError, MqttError, packet.PacketError) as error:
                why = error
            finally:
                self._lose(None)
                self.down.set()
            if self.connects != connects:
                delay = self.backoff_ms  # only after a connection that came up: no hammering
            wait = delay // 2 + jitter(delay)
            if self._log:
                why = "disconnected" if why is None else str(why) or repr(why)
                self._log.warning("no broker: %s; again in %d ms", why, wait)
            await asyncio.sleep(wait / 1000)
            delay = min(delay * 2, _BACKOFF_MAX_MS)

    # One connection.

    async def _connect(self):
        stream = await asyncio.wait_for(self._opener(), _ANSWER_S)
        self._lost = False
        self._lost_why = None
        self.framing.attach(stream)
        await self.framing.send(self._connect_packet)
        answer = asyncio.wait_for(self.framing.read_connack(), _ANSWER_S)
        self.session_present, code = await answer
        if code:
            known = code < len(packet.REFUSALS)
            raise MqttError(packet.REFUSALS[code] if known else "refused with code %d" % code)

    async def _serve(self):
        """Read until the connection is lost, while a second task attends to it."""
        self.connected = True
        attendant = asyncio.create_task(self._attend())
        try:
            await self.framing.read_packets(self._take)
        except Exception as error:  # whatever it is, a new connection is the answer
            self._lose(error)
        finally:
            attendant.cancel()

    async def _attend(self):
        """Subscribe, tell that the connection is up, and keep it alive."""
        try:
            await self._subscribe_again()
            if self._lost:
                return
            self.connects += 1
            self.down.clear()
            self.up.set()
            if self.on_up:
                self.on_up()
            while True:
                await asyncio.sleep(self.keepalive / 4)
                self._keep_alive()
        except asyncio.TimeoutError:
            self._lose("no answer in time")
        except Exception as error:
            self._lose(error)

    def _keep_alive(self):
        """Ping a silent link; give a link up that stayed silent after the ping."""
        quarter = self.keepalive * 250
        now = ticks_ms()
        silent = ticks_diff(now, self.framing.last_rx)
        if silent > 5 * quarter:
            self._lose(MqttError("broker is silent"))
        elif silent >= 2 * quarter or ticks_diff(now, self.framing.last_tx) >= 2 * quarter:
            # Not waiting for a full socket: that is how a dead link looks.
            self.framing.send_soon(bytes((packet.PINGREQ, 0)))

    def _lose(self, why):
        """Give the connection up: wake everybody who waits for it, the reader included."""
        if not self._lost:
            self._lost_why = why
            self._lost = True
        self.connected = False
        self.up.clear()
        for waiter in self._waiters.values():
            waiter.event.set()
        self.framing.detach()

    def _take(self, first, body, stop):
        kind = first & 0xF0
        if kind == packet.PUBLISH:
            self._take_publish(first, body, stop)
        elif kind in (packet.PUBACK, packet.SUBACK, packet.UNSUBACK):
            if stop - body < (3 if kind == packet.SUBACK else 2):
                raise packet.PacketError("acknowledgement too short")
            (packet_id,) = struct.unpack_from(">H", self.framing.rx, body)
            waiter = self._waiters.get(packet_id)
            if waiter:
                waiter.code = self.framing.rx[body + 2] if kind == packet.SUBACK else 0
                waiter.event.set()
        elif kind != packet.PINGRESP:
            raise packet.PacketError("unexpected packet 0x%02x" % first)

    def _take_publish(self, first, body, stop):
        rx = self.framing.rx
        qos = first >> 1 & 3
        if stop - body < 2 or qos > 1:
            raise packet.PacketError("malformed PUBLISH")
        (topic_size,) = struct.unpack_from(">H", rx, body)
        start = body + 2 + topic_size
        payload = start + (2 if qos else 0)
        if payload > stop:
            raise packet.PacketError("malformed PUBLISH")
        topic = str(rx[body + 2 : start], "utf-8")
        for topic_filter, (handler, _) in self._subscriptions.items():
            if packet.matches(topic_filter, topic):
                try:
                    handler(topic, rx[payload:stop], bool(first & packet.RETAIN))
                except Exception as error:
                    if self._log:
                        self._log.exception(error, "handler of %s", topic_filter)
                break
        if qos:
            self.framing.acknowledge(start)

    # Acknowledged packets.

    def _new_id(self):
        while True:
            self._last_id = self._last_id % 65535 + 1
            if self._last_id not in self._waiters:
                return self._last_id

    async def _subscribe_again(self):
        if not self.session_present:
            for topic_filter, (_, qos) in list(self._subscriptions.items()):
                code = await self._subscribe(topic_filter, qos)
                if code is not None and code & 0x80 and self._log:
                    self._log.error("broker refuses to subscribe us to %s", topic_filter)

    async def _subscribe(self, topic_filter, qos):
        """Send a SUBSCRIBE; return its return code, None when the link broke first."""
        packet_id = self._new_id()
        data = packet.subscribe(packet.SUBSCRIBE, packet_id, topic_filter.encode(), qos)
        return await self._exchange(data, packet_id)

    async def _exchange(self, data, packet_id):
        """Send a packet; return its acknowledgement's code, or None when the link broke first."""
        waiter = self._waiters[packet_id] = _Waiter()
        try:
            await self.framing.send(data)
            await asyncio.wait_for(waiter.event.wait(), _ANSWER_S)
            return waiter.code
        finally:
            del self._waiters[packet_id]
