"""An MQTT 3.1.1 client for asyncio that keeps its connection up: QoS 0 and 1, will, reconnect.

`run()` is the one task: it opens a stream, connects, subscribes again, reads packets into one
buffer allocated once, sends pings, and starts over when the link breaks. Everybody else calls
`publish` and `subscribe`. Each packet leaves in one write where it fits the small send buffer.
Output state lives in `_out`, so that a publish from plain code (`publish_now`) can finish another
task's half-written packet before its own.

The stream comes from the `opener` given by the caller: `await opener()` returns an object with
readinto(view) and write(view), both returning None when they would block, wait_readable() and
wait_writable() to await, wait_writable_now(ms) that blocks, and close().
"""

import asyncio
import struct

from micropython import const

from mqboard import packet
from mqboard.clock import jitter, ticks_diff, ticks_ms

_TX_SIZE = const(1024)
_ACKS = const(16)  # PUBACKs gathered into one write
_READS_PER_TURN = const(8)  # reads before other tasks get their turn
_CONNECT_TIMEOUT_S = const(15)
_BACKOFF_MIN_MS = const(500)
_BACKOFF_MAX_MS = const(30_000)
_BLOCKING_WRITE_MS = const(10_000)


class MqttError(Exception):
    """The broker refused the connection or broke the protocol."""


class _Waiter:
    """One acknowledgement somebody waits for: the event is set when it came or the link broke."""

    def __init__(self):
        self.event = asyncio.Event()
        self.code = None  # SUBACK's return code, or 0; None while not acknowledged


class Client:
    """See the module's first paragraph. `connected` and the events `up` and `down` tell the state.

    `will` is (topic, payload, qos, retain). Handlers are called as
    handler(topic, payload, retained): topic a str, payload a memoryview into the receive buffer
    that is valid until the handler returns.
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
        self.keepalive = keepalive  # seconds
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
        self._rx = memoryview(bytearray(rx_size))
        self._tx = memoryview(bytearray(_TX_SIZE))
        self._pubacks = memoryview(bytearray(4 * _ACKS))
        self._puback_size = 0
        self._out = []  # views still to be written, in order
        self._lock = asyncio.Lock()  # one packet at a time, from composing to written
        self._stream = None
        self._lost = asyncio.Event()
        self._lost_why = None
        self._waiters = {}  # packet id -> _Waiter
        self._last_id = 0
        self._subscriptions = {}  # filter -> (handler, qos)
        self._last_rx = self._last_tx = 0
        self._skip = 0  # bytes of an oversized packet still to be passed over
        self.connected = False
        self.session_present = False
        self.connects = 0
        self.dropped = 0  # QoS 0 messages given to publish while there was no connection
        self.oversized = 0  # received packets larger than the buffer, passed over
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
            if not self.connected:
                self.dropped += 1
                return False
            await self._send_publish(flags, topic, payload, 0)
            return True
        packet_id = self._new_id()
        waiter = self._waiters[packet_id] = _Waiter()
        sent = False
        try:
            while waiter.code is None:
                await self.up.wait()
                waiter.event.clear()
                repeat = packet.DUP if sent and self.session_present else 0
                try:
                    await self._send_publish(0x02 | flags | repeat, topic, payload, packet_id)
                except OSError:
                    await self.down.wait()
                    continue
                sent = True
                await waiter.event.wait()
        finally:
            del self._waiters[packet_id]
        return True

    def publish_now(self, topic, payload):
        """Publish at QoS 0 from code that cannot await; blocks until the socket took it all.

        Raises OSError when there is no connection or the socket takes nothing for 10 s.
        """
        if not self.connected:
            raise OSError(128)  # ENOTCONN
        try:
            self._flush_now()
            self._compose_publish(0, topic.encode(), payload, 0)
            self._flush_now()
        except OSError as error:
            self._lose(error)
            raise

    async def subscribe(self, topic_filter, handler, qos=1):
        """Call `handler` for messages that match; subscribed now and after each reconnect.

        Raises MqttError when the broker refuses the filter. Returns at once without a connection:
        the subscription is made when there is one.
        """
        self._subscriptions[topic_filter] = (handler, qos)
        if self.connected:
            await self._subscribe(topic_filter, qos)

    async def unsubscribe(self, topic_filter):
        """Stop calling the handler of `topic_filter`; unknown filters are ignored."""
        if self._subscriptions.pop(topic_filter, None) and self.connected:
            packet_id = self._new_id()
            await self._exchange(
                packet.subscribe(packet.UNSUBSCRIBE, packet_id, topic_filter.encode()), packet_id
            )

    async def disconnect(self):
        """Leave politely: the broker does not publish the will. `run` would connect again."""
        if self.connected:
            try:
                await self._send(bytes((packet.DISCONNECT, 0)))
            except OSError:
                pass
            self._lose(None)

    async def run(self):
        """Connect, serve, reconnect with backoff, for ever. Cancel it to stop."""
        delay = self.backoff_ms
        while True:
            try:
                await self._connect()
                delay = self.backoff_ms
                await self._serve()
                why = self._lost_why
            except (
                OSError,
                EOFError,
                MqttError,
                packet.PacketError,
                asyncio.TimeoutError,
            ) as error:
                why = error
            finally:
                self._close()
            wait = delay // 2 + jitter(delay)
            if self._log:
                self._log.warning("no broker: %s; again in %d ms", _reason(why), wait)
            await asyncio.sleep(wait / 1000)
            delay = min(delay * 2, _BACKOFF_MAX_MS)

    # Connecting and serving.

    async def _connect(self):
        self._stream = await asyncio.wait_for(self._opener(), _CONNECT_TIMEOUT_S)
        self._lost.clear()
        self._lost_why = None
        self._out = []
        self._puback_size = 0
        self._skip = 0
        await self._send(self._connect_packet)
        await asyncio.wait_for(self._read_connack(), _CONNECT_TIMEOUT_S)

    async def _read_connack(self):
        got = 0
        while got < 4:
            count = self._stream.readinto(self._rx[got:4])
            if count is None:
                await self._stream.wait_readable()
            elif count == 0:
                raise EOFError("broker closed the connection")
            else:
                got += count
        if self._rx[0] != packet.CONNACK or self._rx[1] != 2:
            raise MqttError("the answer is not a CONNACK")
        code = self._rx[3]
        if code:
            known = code < len(packet.REFUSALS)
            raise MqttError(packet.REFUSALS[code] if known else "refused with code %d" % code)
        self.session_present = bool(self._rx[2] & 1)

    async def _serve(self):
        self._last_rx = self._last_tx = ticks_ms()
        reader = asyncio.create_task(self._read_until_lost())
        try:
            self.connected = True
            if not self.session_present:
                for topic_filter, (_, qos) in list(self._subscriptions.items()):
                    await self._subscribe(topic_filter, qos)
            if not self._lost.is_set():
                self.connects += 1
                self.down.clear()
                self.up.set()
                if self.on_up:
                    self.on_up()
            while not self._lost.is_set():
                try:
                    await asyncio.wait_for(self._lost.wait(), self.keepalive / 4)
                except asyncio.TimeoutError:
                    await self._keep_alive()
        finally:
            reader.cancel()

    async def _keep_alive(self):
        """Ping a silent link; give a link up that stayed silent after the ping."""
        quarter = self.keepalive * 250
        now = ticks_ms()
        silent = ticks_diff(now, self._last_rx)
        if silent > 5 * quarter:
            self._lose(MqttError("broker is silent"))
        elif silent >= 2 * quarter or ticks_diff(now, self._last_tx) >= 2 * quarter:
            await self._send(bytes((packet.PINGREQ, 0)))

    def _lose(self, why):
        if not self._lost.is_set():
            self._lost_why = why
            self._lost.set()
        self.connected = False
        self.up.clear()
        for waiter in self._waiters.values():
            waiter.event.set()

    def _close(self):
        self._lose(None)
        self._out = []
        if self._stream:
            self._stream.close()
            self._stream = None
        self.down.set()

    # Reading.

    async def _read_until_lost(self):
        try:
            await self._read_packets()
        except Exception as error:
            self._lose(error)

    async def _read_packets(self):
        stream = self._stream
        rx = self._rx
        size = len(rx)
        end = 0
        reads = 0
        while True:
            count = stream.readinto(rx[end:] if end else rx)
            if count is None:
                if self._puback_size:
                    await self._send_pubacks()
                reads = 0
                await stream.wait_readable()
                continue
            if count == 0:
                raise EOFError("broker closed the connection")
            self._last_rx = ticks_ms()
            end += count
            while True:
                done = self._take_packets(end)
                end -= done
                if done and end:
                    rx[:end] = rx[done : done + end]
                if self._puback_size < len(self._pubacks):
                    break
                await self._send_pubacks()
            if end == size:
                raise packet.PacketError("no packet in a full buffer")
            reads += 1
            if reads >= _READS_PER_TURN:
                reads = 0
                await asyncio.sleep(0)

    def _take_packets(self, end):
        """Handle the complete packets in the first `end` bytes received; return the bytes used."""
        rx = self._rx
        position = 0
        while True:
            if self._skip:
                passed = min(self._skip, end - position)
                self._skip -= passed
                position += passed
            if end - position < 2 or self._puback_size == len(self._pubacks):
                return position
            length, body = packet.get_length(rx, position + 1, end)
            if length < 0:
                return position
            stop = body + length
            if stop - position > len(rx):
                return self._take_oversized(position, body, stop, end)
            if stop > end:
                return position
            self._take(rx[position], body, stop)
            position = stop

    def _take_oversized(self, position, body, stop, end):
        """Pass over a packet that no buffer of ours can hold; acknowledge it so it stays away."""
        first = self._rx[position]
        qos = first >> 1 & 3
        if first & 0xF0 != packet.PUBLISH:
            raise packet.PacketError("oversized packet 0x%02x" % first)
        if end - body < 2:
            return position
        (topic_size,) = struct.unpack_from(">H", self._rx, body)
        needed = body + 2 + topic_size + (2 if qos else 0)
        if needed - position > len(self._rx):
            raise packet.PacketError("oversized topic")
        if end < needed:
            return position
        if qos:
            self._puback(body + 2 + topic_size)
        self.oversized += 1
        self._skip = stop - end
        return end

    def _take(self, first, body, stop):
        kind = first & 0xF0
        if kind == packet.PUBLISH:
            self._take_publish(first, body, stop)
        elif kind in (packet.PUBACK, packet.SUBACK, packet.UNSUBACK):
            if stop - body < (3 if kind == packet.SUBACK else 2):
                raise packet.PacketError("acknowledgement too short")
            (packet_id,) = struct.unpack_from(">H", self._rx, body)
            waiter = self._waiters.get(packet_id)
            if waiter:
                waiter.code = self._rx[body + 2] if kind == packet.SUBACK else 0
                waiter.event.set()
        elif kind != packet.PINGRESP:
            raise packet.PacketError("unexpected packet 0x%02x" % first)

    def _take_publish(self, first, body, stop):
        rx = self._rx
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
            self._puback(start)

    def _puback(self, id_position):
        size = self._puback_size
        self._pubacks[size] = packet.PUBACK
        self._pubacks[size + 1] = 2
        self._pubacks[size + 2 : size + 4] = self._rx[id_position : id_position + 2]
        self._puback_size = size + 4

    # Writing.

    def _new_id(self):
        while True:
            self._last_id = self._last_id % 65535 + 1
            if self._last_id not in self._waiters:
                return self._last_id

    async def _subscribe(self, topic_filter, qos):
        packet_id = self._new_id()
        code = await self._exchange(
            packet.subscribe(packet.SUBSCRIBE, packet_id, topic_filter.encode(), qos), packet_id
        )
        if code is not None and code & 0x80:
            raise MqttError("broker refuses to subscribe us to " + topic_filter)

    async def _exchange(self, data, packet_id):
        """Send a packet; return its acknowledgement's code, or None when the link broke first."""
        waiter = self._waiters[packet_id] = _Waiter()
        try:
            await self._send(data)
            await asyncio.wait_for(waiter.event.wait(), _CONNECT_TIMEOUT_S)
            return waiter.code
        finally:
            del self._waiters[packet_id]

    async def _send_publish(self, flags, topic, payload, packet_id):
        async with self._lock:
            self._compose_publish(flags, topic, payload, packet_id)
            await self._flush()

    async def _send_pubacks(self):
        async with self._lock:
            self._out.append(self._pubacks[: self._puback_size])
            await self._flush()
            self._puback_size = 0

    async def _send(self, data):
        async with self._lock:
            self._out.append(memoryview(data))
            await self._flush()

    def _compose_publish(self, flags, topic, payload, packet_id):
        """Put a PUBLISH into the send buffer, the payload's end behind it if it does not fit."""
        tx = self._tx
        remaining = 2 + len(topic) + (2 if packet_id else 0) + len(payload)
        head = 1 + packet.length_size(remaining) + remaining - len(payload)
        if head > _TX_SIZE:
            raise packet.PacketError("topic too long")
        tx[0] = packet.PUBLISH | flags
        position = packet.put_string(tx, packet.put_length(tx, 1, remaining), topic)
        if packet_id:
            struct.pack_into(">H", tx, position, packet_id)
            position += 2
        fits = min(len(payload), _TX_SIZE - position)
        body = memoryview(payload)
        tx[position : position + fits] = body[:fits]
        self._out.append(tx[: position + fits])
        if fits < len(payload):
            self._out.append(body[fits:])

    async def _flush(self):
        """Write what is in `_out`. The caller holds the lock."""
        try:
            while self._write_some():
                await self._stream.wait_writable()
        except OSError as error:
            self._lose(error)
            raise
        self._last_tx = ticks_ms()

    def _flush_now(self):
        while self._write_some():
            if not self._stream.wait_writable_now(_BLOCKING_WRITE_MS):
                raise OSError(110)  # ETIMEDOUT

    def _write_some(self):
        """Write until the socket is full; return whether something is left."""
        if not self._stream:
            raise OSError(128)  # ENOTCONN
        out = self._out
        while out:
            count = self._stream.write(out[0])
            if count is None:
                return True
            if count == len(out[0]):
                out.pop(0)
            else:
                out[0] = out[0][count:]
        return False


def _reason(error):
    if isinstance(error, asyncio.TimeoutError):
        return "timeout"
    return "disconnected" if error is None else str(error) or repr(error)
