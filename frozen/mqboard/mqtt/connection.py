"""Keeps an MQTT connection up: connects, restores the session, sends pings, starts over.

`run()` is the one task: it opens a stream, connects, restores what the broker forgot, hands
received messages to their handlers, sends pings, and starts over when the link breaks.
The stream comes from `await opener()`, which has timeouts of its own; what a stream must be able
to do stands in mqboard.mqtt.writer.
"""

import asyncio
from errno import ECONNRESET

from micropython import const

from mqboard.clock import jitter, ticks_diff, ticks_ms, within, worth_a_line
from mqboard.mqtt import packet
from mqboard.mqtt.session import Session

_ANSWER_S = const(15)  # how long a CONNACK or a SUBACK may take
_HANG_UPS = const(3)  # at a SUBSCRIBE until it has to wait, at a message until it is given up
_LOOK_S = 0.01  # after a message that is sent alone
_ENOTCONN = const(128)  # lwIP's, for a write after the other side has closed
_HUNG_UP = (32, ECONNRESET, _ENOTCONN)  # 32 is EPIPE
_BACKOFF_MIN_MS = const(500)
_BACKOFF_SOON_MS = const(2_000)  # with its jitter at most 3 s, for a broker that restarts
_SOON = const(7)  # waits, about 13 s; then it doubles so often, up to
_DOUBLINGS = const(5)
_BACKOFF_MAX_MS = const(40_000)  # with its jitter at most 60 s


class MqttError(Exception):
    """Raised when the broker refuses us or is silent."""


def wait_ms(failures, first):
    """Return how long to wait after one more failure than `failures` in a row, `first` after one.

    Most of it is chance: boards that lost their broker together do not come back together.
    """
    delay = min(first << min(failures, _SOON), _BACKOFF_SOON_MS)
    delay <<= min(max(0, failures - _SOON), _DOUBLINGS)
    delay = max(first, min(delay, _BACKOFF_MAX_MS))
    return delay // 2 + jitter(delay)


class Connection(Session):
    """The base of mqboard.mqtt.Client."""

    level = 4  # of the protocol: MQTT 3.1.1

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
        self.user = user  # these two may be changed, for the connections to come
        self.password = password
        self._introduction = packet.introduction(
            client_id.encode(),
            keepalive,
            clean,
            will and (will[0].encode(), will[1], will[2], will[3]),
        )
        self._compose()  # what cannot be is said now, and not to the log for ever
        self._lost = True
        self._lost_why = None
        self.connected = False
        self.session_present = False
        self.connects = 0
        self.failures = 0  # attempts to connect since the last connection
        self.on_up = None  # called without arguments after each connect
        self.hang_ups = _HANG_UPS  # so many connections may be lost at one message
        self.refused = 0  # messages given up for that
        self.up = asyncio.Event()
        self.down = asyncio.Event()
        self.down.set()

    async def run(self):
        """Connect, serve, reconnect with backoff, for ever. Cancel it to stop."""
        told = []
        try:
            while True:
                why = await self._live()
                if not self.failures:
                    told.clear()
                wait = wait_ms(self.failures, self.backoff_ms)
                self.failures += 1
                if self._log and worth_a_line(told, why, self.failures):
                    line = "no broker: %s; attempt %d in %d ms"
                    self._log.warning(line, why, self.failures, wait)
                await asyncio.sleep(wait / 1000)
        finally:
            for task in self._tasks:
                task.cancel()
            self._tasks.clear()
            for subscription in self._subscriptions.values():
                if subscription.inbox:
                    subscription.inbox.close()
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
        self.reader.attach(stream)
        self.session_present, code = await within(_ANSWER_S, self._introduce())
        if code:
            known = code < len(packet.REFUSALS)
            raise MqttError(packet.REFUSALS[code] if known else "refused with code %d" % code)

    async def _introduce(self):
        await self.writer.send(self._compose())
        return await self.reader.read_connack()

    def _compose(self):
        """Return the CONNECT packet."""
        user, password = self.user, self.password
        return packet.connect(
            self._introduction,
            None if user is None else user.encode(),
            password.encode() if isinstance(password, str) else password,
        )

    async def _serve(self):
        """Read until the connection is lost, while a second task attends to it."""
        self.connected = True
        if not self.session_present:
            self.forget_connection()
        attendant = asyncio.create_task(self._attend())
        try:
            await self.reader.read_packets(self)
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
            self.outbox.ready = True
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
            if topic_filter in self._unwanted:  # or it was subscribed again meanwhile
                await self._unsubscribe(topic_filter)
        outbox = self.outbox
        while not self._lost:
            pending = outbox.unsent()
            if not pending:
                break
            await outbox.send(pending)  # others may be acknowledged meanwhile, or registered
            if outbox.careful:
                self.failures = 0  # as good as up: it is not the broker that is missing
                await self._acknowledged(pending)

    async def _acknowledged(self, pending):
        """Wait until a message is acknowledged, for as long as a broker may take for that."""
        due = ticks_ms() + _ANSWER_S * 1000
        waiting = self.outbox.waiting
        while waiting.get(pending.packet_id) is pending and not self._lost:
            if ticks_diff(ticks_ms(), due) > 0:
                break
            await asyncio.sleep(_LOOK_S)

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
        reader = self.reader
        if late > pause:
            reader.last_rx = now  # it was us: the event loop stood still
        silent = ticks_diff(now, reader.last_rx)
        if silent > 5 * pause:
            self._lose(MqttError("broker is silent"))
        elif silent >= 2 * pause or ticks_diff(now, self.writer.last_tx) >= 2 * pause:
            # Not waiting for a full socket: that is how a dead link looks.
            self.writer.send_soon(bytes((packet.PINGREQ, 0)))

    def _lose(self, why):
        """Give the connection up: wake everybody who waits for it, the reader included."""
        if not self._lost:
            self._lost = True
            if isinstance(why, OSError) and why.errno in _HUNG_UP:
                why = EOFError("broker closed the connection")  # in words, as the reader has it
            self._lost_why = why
            if isinstance(why, EOFError):
                self._hung_up()
        self.connected = self.outbox.ready = False
        self.up.clear()
        for pending in self.outbox.waiting.values():
            if not pending.topic:
                pending.event.set()
        self.writer.detach()

    def _hung_up(self):
        """Count and log the message that is given up, if it is the one too many."""
        pending = self.outbox.hung_up(self.hang_ups)
        if pending:
            self.refused += 1
            if self._log:
                self._log.error(
                    "given up: a message of %d bytes to %s, at which the broker hangs up",
                    len(pending.payload),
                    str(pending.topic[2:], "utf-8"),
                )

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
        pending = self.outbox.expect(answer, asyncio.Event())
        try:
            data = packet.subscribe(kind, pending.packet_id, topic_filter.encode(), qos)
            await self.writer.send(data)
            await within(_ANSWER_S, pending.event.wait())
        except (OSError, asyncio.TimeoutError) as error:
            self._lose(str(error) or "no answer in time")
        finally:
            self.outbox.give_up(pending)
        return pending.code
