"""Brings MQTT and the time of day to a board without a network: the driver of a bridge's target.

One file for any MicroPython with asyncio; it needs nothing else of ours. A UART goes in, or any
other stream of bytes; messages go in and out. `Line` makes of bytes that may get lost or turned
messages that arrive once and in order, `Stream` has them carry one connection to the broker, and
`Link`, which is what others call, speaks MQTT 3.1.1 on it. `Line` and `Stream` are the other end's,
too: mqbridge.py. What travels is in docs/bridge.md.
"""

import asyncio
import struct
import sys
from binascii import crc32
from os import urandom

from micropython import const

try:
    from time import ticks_diff, ticks_ms
except ImportError:  # CPython: the tests of the logic
    from mqboard.clock import ticks_diff, ticks_ms

VERSION = 1  # of the wire format: the highest that this end speaks, and
OLDEST = 1  # the lowest
CONTROL = 0  # channels
BYTES = 1
# Control messages begin with one of these.
WELCOME = 1  # bridge: the prefix of the target's topics
OPEN = 2  # target: flags of an MQTT CONNECT, keepalive, will
OPENED = 3  # bridge: whether the broker has kept the session
CLOSE = 4  # both, with the reason as text
CREDIT = 5  # both: how many more bytes may be sent
STATE = 6  # bridge, as text
TIME = 7  # both: the number of the question, then a server, or seconds since 1970, or an error
HUNG_UP = 8  # bridge, before the CLOSE: it was the broker that ended the connection

_FLAG = b"\x7e"  # around each frame; within one it is written _ESCAPE 5E, and _ESCAPE itself 5D
_ESCAPE = b"\x7d"
_HELLO = const(0)  # kinds of frames
_DATA = const(1)  # the end of a message
_MORE = const(2)  # more of it follows
_ACK = const(3)
_AGAIN = const(4)  # an acknowledgement, and what follows it is asked for again
_ASK = const(5)  # an acknowledgement, and one is asked for
_GREET = const(6)  # none: a hello is due
_INTRODUCTION = ">BBBBIIBH"  # kind, version, oldest, up, session, the other's, window, size
_OVERHEAD = const(8)  # of a frame of data, with its CRC
_MAX_MESSAGE = const(4096)
_TICK_S = 0.025
_HELLO_MS = const(300)
_ASK_MS = const(1000)  # of silence, until the other end is asked whether it is there
_PATIENCE_MS = const(500)  # the first time that an acknowledgement may take; then it is measured
_LEAST_MS = const(60)
_DOUBLINGS = const(4)
_MOST_MS = const(40_000)  # until a connection is asked for again, with its chance 60 s
_ANSWER_S = const(15)  # that an acknowledgement may take on which others wait
_YOUNG_S = const(20)  # a connection that ends earlier is a failure
_HANG_UPS = const(3)  # at one message until it is given up, at a subscription until it has to wait
_MAX_TOPIC = const(65000)  # bytes; with the prefix in front they may be 65535
_MAX_WILL = const(3072)  # bytes, which go in one message with the prefix


class Line:
    """Carries messages over a stream that loses and turns bytes: `run(stream)`, or for a test
    `receive(data, now)` and `transmit(now)` with a clock of its own, in milliseconds.

    `window` frames with `size` bytes each are the most that we take without an acknowledgement: so
    much has to fit into the UART's buffer. `silence_ms` without a word end the line. `on_up()`,
    `on_down()` and `on_message(channel, data)` are called.
    """

    on_up = on_down = lambda self: None
    peer = ""  # the other end's name
    size = 1  # of the data in a frame, as agreed on
    incompatible = ""  # why the line cannot be

    def __init__(self, name, window=6, size=240, silence_ms=10_000):
        self._introduction = (window, size)
        self._name = name.encode()
        self._silence_ms = silence_ms
        self.up = False
        self.errors = 0  # frames that were no good
        self.repeated = 0  # frames sent again
        self._rest = b""
        self._theirs = 0
        self._wake = asyncio.Event()
        self.moved = asyncio.Event()  # something was acknowledged
        self._begin(0)

    def _begin(self, now):
        """Begin with a session of our own that nobody knows."""
        self._mine = struct.unpack(">I", urandom(4))[0] or 1
        self._meet(0, now)

    def _meet(self, theirs, now):
        """Forget all that was said to another session of the other end's."""
        was_up = self.up
        self.up = False
        self._theirs = theirs
        sessions = struct.pack(">II", self._mine, theirs)
        self._seed_out = crc32(sessions)
        self._seed_in = crc32(sessions[4:] + sessions[:4])
        self._queue = []  # (kind, channel, data) that is not acknowledged
        self._base = 0  # the number of the first of them
        self._sent = 0  # so many are on their way
        self._most = 0  # so many have been
        self._since = now  # the last acknowledgement of something new
        self._round_ms = 0
        self._doublings = 0
        self._timed = -1  # the number of the frame whose acknowledgement is timed
        self._timed_at = now
        self._next = 0  # the number of the frame that has to come
        self._asked_again = -1  # for this number
        self._due = 0  # a kind of acknowledgement that is due
        self._message = b""
        self._heard = self._asked = now
        self._greeted = now - _HELLO_MS
        if was_up:
            self.on_down()
        self.moved.set()
        self._wake.set()

    def send(self, channel, data):
        """Queue a message; without a line it is dropped. BYTES may come together, or in pieces."""
        if not self.up:
            return
        size = self.size
        queue = self._queue
        if channel == BYTES and len(queue) > self._most and queue[-1][1] == BYTES:
            before = queue[-1][2]
            if len(before) + len(data) <= size:  # as long as it has to wait
                queue[-1] = (_DATA, BYTES, before + data)
                return
        while len(data) > size:
            queue.append((_MORE, channel, data[:size]))
            data = data[size:]
        queue.append((_DATA, channel, data))
        self._wake.set()

    async def wait_room(self):
        """Wait until there is not more to send than the window takes; OSError without a line."""
        while self.up and len(self._queue) > self._window:
            self.moved.clear()
            await self.moved.wait()
        if not self.up:
            raise OSError("no link")

    # The bytes.

    def receive(self, data, now):
        """Take what came over the wire."""
        frames = (self._rest + data).split(_FLAG)
        self._rest = frames.pop()
        if len(self._rest) > 2 * (self._introduction[1] + _OVERHEAD):
            self._rest = b""
            self._spoilt()
        for frame in frames:
            if frame:
                self._take(frame, now)
        if self._due:
            self._wake.set()

    def _take(self, frame, now):
        if _ESCAPE in frame:
            frame = frame.replace(b"\x7d\x5e", _FLAG).replace(b"\x7d\x5d", _ESCAPE)
        body = frame[:-4]
        seed = self._seed_in if body and body[0] else 0
        if not body or crc32(body, seed) != struct.unpack(">I", frame[-4:])[0]:
            return self._spoilt()
        if not body[0]:
            return self._greet(body, now)
        if not self.up:
            return
        self._heard = self._asked = now  # both: ticks compare only while they are not old
        kind = body[0]
        if kind >= _ACK:
            self._acknowledged(body[1], now)
            if kind == _AGAIN:
                self._go_back()
            elif kind == _ASK:
                self._due = self._due or _ACK
            return
        self._acknowledged(body[2], now)
        if body[1] == self._next:
            self._next = (self._next + 1) & 255
            self._asked_again = -1
            self._due = _ACK
            self._deliver(kind, body)
        elif (body[1] - self._next) & 255 < 128:
            self._ask_again()  # what was between got lost
        else:
            self._due = self._due or _ACK

    def _spoilt(self):
        self.errors += 1
        if self.up:
            self._ask_again()

    def _ask_again(self):
        if self._asked_again != self._next:
            self._asked_again = self._next
            self._due = _AGAIN
            self._wake.set()

    def _greet(self, body, now):
        """Take a hello: that of a new session begins everything anew."""
        start = struct.calcsize(_INTRODUCTION)
        introduction = struct.unpack(_INTRODUCTION, body[:start])
        _, version, oldest, up, theirs, mine, window, size = introduction
        if theirs == self._mine:
            return  # an echo
        self.incompatible = ""
        if oldest > VERSION or version < OLDEST:
            self.incompatible = "the other end speaks version %d, and we %d" % (version, VERSION)
            return
        if theirs != self._theirs:
            self._meet(theirs, now)
        self._heard = self._asked = now
        if mine == self._mine and not self.up:
            self.peer = str(body[start:], "utf-8")
            self._window, self.size = window, min(size, self._introduction[1])
            self.up = True
            self.on_up()
        if not up or mine != self._mine:
            self._greeted = now - _HELLO_MS  # it does not know us yet
            self._due = self._due or _GREET
        self._wake.set()

    def _deliver(self, kind, body):
        data = body[4:]
        if self._message or kind == _MORE:
            self._message += data
            if len(self._message) > _MAX_MESSAGE:
                self._begin(self._heard)  # nobody of ours sends such a one
                return
            if kind == _MORE:
                return
            data, self._message = self._message, b""
        self.on_message(body[3], data)

    def _acknowledged(self, number, now):
        count = (number - self._base) & 255
        if not 0 < count <= self._most:
            return
        if self._timed >= 0 and (self._timed - self._base) & 255 < count:
            took = ticks_diff(now, self._timed_at)
            self._round_ms = (7 * self._round_ms + took) // 8 if self._round_ms else took
            self._timed = -1
        del self._queue[:count]
        self._base = number
        self._most -= count
        self._sent = max(0, self._sent - count)
        self._since = now
        self._doublings = 0
        self.moved.set()
        self._wake.set()

    def _go_back(self):
        """Send everything again that is not acknowledged."""
        self._sent = 0
        self._timed = -1
        self._wake.set()

    def transmit(self, now):
        """Return the next frame to write, b"" if there is none now."""
        if not self.up or self._due == _GREET:
            return self._transmit_hello(now)
        silent = ticks_diff(now, self._heard)
        if silent > self._silence_ms:
            self._begin(now)
            return b""
        if self._most:
            patience = 2 * self._round_ms + _LEAST_MS if self._round_ms else _PATIENCE_MS
            if ticks_diff(now, self._since) > patience << self._doublings:
                self._doublings = min(self._doublings + 1, _DOUBLINGS)
                self._since = now
                self._asked_again = -1  # that we asked for something may be what got lost
                self._go_back()
        if self._due != _AGAIN and self._sent < min(self._window, len(self._queue)):
            return self._transmit_data(now)
        kind, self._due = self._due, 0
        if not kind and silent > _ASK_MS and ticks_diff(now, self._asked) > _ASK_MS:
            kind = _ASK
            self._asked = now
            self._asked_again = -1
        return self._frame(bytes((kind, self._next)), self._seed_out) if kind else b""

    def _transmit_data(self, now):
        kind, channel, data = self._queue[self._sent]
        number = (self._base + self._sent) & 255
        if not self._most:
            self._since = now
        if self._sent < self._most:
            self.repeated += 1
        else:
            self._most += 1
            if self._timed < 0:
                self._timed, self._timed_at = number, now
        self._sent += 1
        self._due = 0
        return self._frame(bytes((kind, number, self._next, channel)) + data, self._seed_out)

    def _transmit_hello(self, now):
        if self._due != _GREET and ticks_diff(now, self._greeted) < _HELLO_MS:
            return b""
        self._due = 0
        self._greeted = now
        head = (_HELLO, VERSION, OLDEST, self.up, self._mine, self._theirs) + self._introduction
        return self._frame(struct.pack(_INTRODUCTION, *head) + self._name, 0)

    def _frame(self, body, seed):
        body += struct.pack(">I", crc32(body, seed))
        body = body.replace(_ESCAPE, b"\x7d\x5d").replace(_FLAG, b"\x7d\x5e")
        return _FLAG + body + _FLAG

    async def run(self, stream):
        """Speak over `stream`, for ever: something that asyncio.StreamReader takes, or like that,
        with `read`, `write` and `drain`."""
        if not hasattr(stream, "drain"):
            stream = asyncio.StreamReader(stream)  # which is the writer, too
        tasks = [asyncio.create_task(self._listen(stream)), asyncio.create_task(self._tick())]
        self._begin(ticks_ms())
        try:
            while not tasks[0].done():
                frame = self.transmit(ticks_ms())
                if frame:
                    stream.write(frame)
                    await stream.drain()
                else:
                    self._wake.clear()
                    await self._wake.wait()
            await tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            self._meet(0, ticks_ms())

    async def _listen(self, stream):
        try:
            while True:
                data = await stream.read(256)
                if data:
                    self.receive(data, ticks_ms())
                else:
                    await asyncio.sleep(_TICK_S)
        finally:
            self._wake.set()

    async def _tick(self):
        while True:
            await asyncio.sleep(_TICK_S)
            self._wake.set()


class Stream:
    """The bytes of one connection over a Line, `room` of them at most before they are read."""

    def __init__(self, line, room=2048):
        self._line = line
        self._parts = []
        self._owed = 0  # read, and not given credit for
        self._half = room // 2
        self._credit = 0
        self._news = asyncio.Event()
        self.closed = ""  # why it is
        self.grant(room)

    def grant(self, count):
        """Let the other end send so many more bytes."""
        self._line.send(CONTROL, struct.pack(">BI", CREDIT, count))

    def take(self, data):
        """Take bytes from the other end."""
        self._parts.append(data)
        self._news.set()

    def allow(self, count):
        """Take credit from the other end."""
        self._credit += count
        self._news.set()

    def close(self, why):
        """End it: reading and writing raise OSError from now on."""
        self.closed = self.closed or why
        self._news.set()

    async def _wait(self):
        self._news.clear()
        await self._news.wait()

    async def read(self):
        """Return some bytes, at least one."""
        while not self._parts:
            if self.closed:
                raise OSError(self.closed)
            await self._wait()
        data = self._parts.pop(0)
        self._owed += len(data)
        if self._owed >= self._half:
            self.grant(self._owed)
            self._owed = 0
        return data

    async def write(self, data):
        """Send bytes, as soon as the other end has room for them."""
        while data:
            await self._line.wait_room()
            while not self._credit and not self.closed:
                await self._wait()
            if self.closed:
                raise OSError(self.closed)
            count = min(self._credit, len(data), 2 * self._line.size)
            self._credit -= count
            self._line.send(BYTES, data[:count])
            data = data[count:]


class LinkError(Exception):
    """Raised when the broker refuses a subscription, or hangs up at a message."""


class _Waiting:
    """A packet that the broker has to acknowledge, or a message until it is handled."""

    sent = 0  # on the connection of this number, the last time
    suspect = False  # the broker hung up when it was on its way
    hang_ups = 0  # how often, when nothing else was

    def __init__(self, kind, number, packet):
        self.kind = kind
        self.number = number
        self.packet = packet
        self.code = None
        self.done = asyncio.Event()


class _Subscription:
    hang_ups = 0  # connections that were lost at it

    def __init__(self, handler, qos):
        self.handler = handler
        self.qos = qos
        self.made = False
        self.items = []
        self.news = asyncio.Event()
        self.task = None


class Link(Line):
    """An MQTT client over `uart`, or another stream as `Line.run` takes it; `await run()` it, or
    `async with` it. `up` of a Line is the wire, `connected` the broker.

    `will` is (topic, payload, qos, retain). A topic may begin with ~/, which is `prefix` and a /.
    `keepalive` in seconds, 0: no pings. With `clean` the broker forgets us when we are away. On
    silence for `reset_s` seconds the pin `reset`, low for a moment, has the other board reset.
    `on_state(text)` is told of "no link", "connected", and why there is no broker.
    """

    prefix = ""
    state = "no link"
    incoming = 32  # messages at QoS 1 that may wait for their handlers
    dropped = 0  # messages at QoS 0: published without a broker, or too many for their handler
    failed = 0  # messages whose handler raised
    oversized = 0  # messages longer than `max_payload`
    max_payload = 8192
    connects = 0
    refused = 0  # messages at which the broker hung up
    backoff_ms = 500  # until a connection is asked for again; doubles while they end at once
    patience_s = 180  # with a bridge that says nothing: more than it takes for one attempt

    def __init__(
        self,
        uart,
        *,
        will=None,
        keepalive=60,
        clean=False,
        name="mqlink",
        on_state=None,
        reset=None,
        reset_s=300,
        **line,
    ):
        super().__init__(name, **line)
        self._uart = uart
        if will:
            _check(will[0])
            if len(will[0]) + len(will[1]) > _MAX_WILL:
                raise ValueError("the will has more than %d bytes" % _MAX_WILL)
        self.will = will
        self._keepalive = keepalive
        self._clean = clean
        self._on_state = on_state
        self._reset = reset
        self._reset_s = reset_s
        self._stream = None
        self._last_id = 0
        self._waiting = []  # in the order of sending
        self._subscriptions = {}
        self._held = {}  # ids of messages not acknowledged: whether they are handled
        self._room = asyncio.Event()
        self._aside = []  # messages at QoS 1 for which there is no room, as they came
        self._passed_over = False  # there were even more
        self._lock = asyncio.Lock()
        self._times = {}  # number of a question: its _Waiting
        self._told = asyncio.Event()  # something about the connection that we ask for
        self._pause_s = self.patience_s  # until it is asked for, again
        self._failures = 0
        self._under_way = False  # it is asked for, or there
        self._hung_up = False
        self._ready = False  # messages at QoS 1 need not wait
        self._careful = False  # suspects go alone, before anything else
        self._runner = None
        self._left = False
        self.connected = asyncio.Event()

    async def __aenter__(self):
        self._runner = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_):
        await self.disconnect()
        self._runner.cancel()
        try:
            await self._runner
        except asyncio.CancelledError:
            pass

    async def run(self):
        """Keep the link and the connection up, for ever. Cancel it to stop."""
        self._left = False
        tasks = [asyncio.create_task(self._connect())]
        if self._reset:
            tasks.append(asyncio.create_task(self._watch()))
        try:
            await super().run(self._uart)
        finally:
            for task in tasks:
                task.cancel()
            for subscription in self._subscriptions.values():
                if subscription.task:
                    subscription.task.cancel()
                    subscription.task = None

    # What others call.

    async def publish(self, topic, payload=b"", qos=0, retain=False):
        """Publish; True when it is sent (QoS 0) or acknowledged (QoS 1). QoS 0 without a broker is
        dropped: False. QoS 1 waits for one, and is sent again when the connection broke. LinkError:
        the broker hung up at this very message three times. ValueError: it is no topic.
        """
        _check(topic)
        if isinstance(payload, str):
            payload = payload.encode()
        if not isinstance(payload, (bytes, bytearray, memoryview)):  # no connection could send it
            raise TypeError("payload is neither bytes nor text")
        first = 0x30 | qos << 1 | bool(retain)
        if qos == 0:
            try:
                if self._careful:
                    raise OSError("messages go alone")
                await self._send(_packet(first, _text(self._full(topic)), payload))
                return True
            except OSError:
                self.dropped += 1
                return False
        if qos != 1:
            raise ValueError("qos is %r, not 0 or 1" % qos)
        waiting = self._expect(0x40, (first, topic, payload))
        try:
            if self._ready:
                await self._try(waiting)
            await waiting.done.wait()
        finally:
            self._waiting.remove(waiting)
        if waiting.code is None:
            raise LinkError(
                "given up: a message of %d bytes to %.40s, at which the broker hangs up"
                % (len(payload), topic)
            )
        return True

    async def subscribe(self, topic_filter, handler, qos=1):
        """Have `handler(topic, payload, retained)`, a function or a coroutine function, called for
        what matches, one message after the other. At QoS 1 a message is acknowledged when it
        returns. Without a broker the subscription is made later. LinkError: the broker refuses it.
        ValueError: it is no filter.
        """
        _check(topic_filter, True)
        self._forget(topic_filter)
        subscription = self._subscriptions[topic_filter] = _Subscription(handler, qos)
        subscription.task = asyncio.create_task(self._handle(subscription))
        code = await self._make(topic_filter, subscription)
        if code == 0x80:
            self._forget(topic_filter)
            raise LinkError("the broker refuses the subscription to " + topic_filter)

    def messages(self, topic_filter, qos=1):
        """Return a subscription as an iterator: `async with link.messages(filter) as messages`,
        then `async for topic, payload, retained in messages`. At QoS 1 each is acknowledged when
        the next one is asked for.
        """
        return _Messages(self, topic_filter, qos)

    async def unsubscribe(self, topic_filter):
        """Stop calling the handler of `topic_filter`."""
        _check(topic_filter, True)
        self._forget(topic_filter)
        if self.connected.is_set():
            waiting = self._expect(0xB0, topic_filter)
            await self._settled(waiting)

    async def time(self, server=""):
        """Return the time in seconds since 1970 that the NTP server `server` tells, "" for the
        other board's own. OSError says why there is none.
        """
        number = 0
        while number in self._times:
            number += 1
        if not self.up or number > 255:
            raise OSError("no link")
        waiting = self._times[number] = _Waiting(TIME, number, None)
        try:
            self.send(CONTROL, bytes((TIME, number)) + server.encode())
            await asyncio.wait_for(waiting.done.wait(), self.patience_s)
        except asyncio.TimeoutError:
            waiting.code = "no answer in time"
        finally:
            del self._times[number]
        if isinstance(waiting.code, int):
            return waiting.code
        raise OSError(waiting.code or "no link")

    async def disconnect(self):
        """Leave politely, until the next `run`: the broker does not publish the will."""
        self._left = True
        try:
            await self._send(b"\xe0\x00")
            self.send(CONTROL, bytes((CLOSE,)))
            while self._queue:
                self.moved.clear()
                await self.moved.wait()
        except OSError:
            pass

    # The link.

    def on_up(self):
        """Wait for the other end's welcome."""
        self._say("no broker")

    def on_down(self):
        """Forget the connection."""
        self._lose("no link")
        for waiting in self._times.values():
            waiting.done.set()

    def on_message(self, channel, data):
        """Take what the bridge says."""
        if channel == BYTES:
            if self._stream:
                self._stream.take(data)
            return
        kind = data[0]
        if kind == WELCOME:
            self.prefix = str(data[1:], "utf-8")
            self._failures = self._pause_s = 0
            self._told.set()
        elif kind == OPENED:
            self._stream = Stream(self)
            self._present = data[1]
            self._hung_up = False
            self._told.set()
        elif kind == CREDIT and self._stream:
            self._stream.allow(struct.unpack(">I", data[1:])[0])
        elif kind == HUNG_UP:
            self._hung_up = True
        elif kind == CLOSE:
            if self._under_way:  # otherwise it answers ours
                self._fail(str(data[1:], "utf-8"))
        elif kind == STATE:
            self._say(str(data[1:], "utf-8"))
            self._told.set()  # it is at it: be patient from now on
        elif kind == TIME and data[1] in self._times:
            waiting = self._times[data[1]]
            whole = len(data) == 7 and data[2] == 0
            waiting.code = struct.unpack(">I", data[3:])[0] if whole else str(data[2:], "utf-8")
            waiting.done.set()

    def _ask(self):
        """Ask for a connection to the broker."""
        if self._left or not self.prefix:
            return
        self._under_way = True
        flags = 2 if self._clean else 0
        rest = b""
        if self.will:
            topic, payload, qos, retain = self.will
            flags |= 4 | qos << 3 | (0x20 if retain else 0)
            rest = _text(self._full(topic)) + _text(payload)
        self.send(CONTROL, struct.pack(">BBH", OPEN, flags, self._keepalive) + rest)

    def _say(self, state):
        if state != self.state:
            self.state = state
            if self._on_state:
                self._on_state(state)

    def _fail(self, why):
        """Lose the connection, or the hope for it; the next one is asked for after a while."""
        self._lose(why)
        delay = min(self.backoff_ms << min(self._failures, 8), _MOST_MS)
        chance = struct.unpack(">H", urandom(2))[0]  # who lost a broker together comes one by one
        self._pause_s = (delay // 2 + (delay * chance >> 16)) / 1000
        self._failures += 1
        self._told.set()

    def _lose(self, why):
        if self._left:
            why = "the target left"  # the broker may close the connection before the bridge does
        self._under_way = self._ready = False
        self.connected.clear()
        if self._stream:
            self._stream.close(why)
            self._stream = None
        for waiting in self._waiting:
            if waiting.kind != 0x40:  # subscriptions are made anew
                waiting.done.set()
        self._room.set()
        self._say(why)

    async def _watch(self):
        """Reset the other board when it has been silent for long."""
        silent = 0
        while True:
            await asyncio.sleep(1)
            silent = 0 if self.up else silent + 1
            if silent >= self._reset_s:
                silent = 0
                self._reset.value(0)
                await asyncio.sleep(0.1)
                self._reset.value(1)

    # MQTT.

    def _full(self, topic):
        return self.prefix + topic[1:] if topic[:2] == "~/" else topic

    def _expect(self, kind, packet):
        numbers = [waiting.number for waiting in self._waiting]
        while True:
            self._last_id = self._last_id % 65535 + 1
            if self._last_id not in numbers:
                break
        waiting = _Waiting(kind, self._last_id, packet)
        self._waiting.append(waiting)
        self._room.set()
        return waiting

    async def _settled(self, waiting):
        """Send a request and return the broker's code, None when the connection broke."""
        try:
            await self._try(waiting)
            await waiting.done.wait()
        finally:
            self._waiting.remove(waiting)
        return waiting.code

    async def _try(self, waiting, dup=0):
        if self.connected.is_set():
            try:
                await self._send(self._compose(waiting, dup), waiting)
            except OSError:
                if waiting.kind != 0x40:
                    waiting.done.set()

    def _compose(self, waiting, dup):
        number = struct.pack(">H", waiting.number)
        if waiting.kind == 0x40:
            first, topic, payload = waiting.packet
            return _packet(first | dup, _text(self._full(topic)) + number, payload)
        if waiting.kind == 0xB0:
            return _packet(0xA2, number, _text(self._full(waiting.packet)))
        topic_filter, qos = waiting.packet
        return _packet(0x82, number + _text(self._full(topic_filter)), bytes((qos,)))

    async def _make(self, topic_filter, subscription):
        """Subscribe, if there is a connection; return the broker's code."""
        if not self.connected.is_set():
            return None
        subscription.hang_ups += 1  # until the answer comes
        code = await self._settled(self._expect(0x90, (topic_filter, subscription.qos)))
        subscription.made = code is not None
        if subscription.made:
            subscription.hang_ups = 0
        return code

    def _forget(self, topic_filter):
        subscription = self._subscriptions.pop(topic_filter, None)
        if subscription and subscription.task:
            subscription.task.cancel()

    async def _send(self, packet, waiting=None):
        stream = self._stream
        async with self._lock:
            if not stream or stream is not self._stream:
                raise OSError(self.state)
            if waiting:
                waiting.sent = self.connects
            await stream.write(packet)

    async def _open(self):
        """Ask for a connection until there is one; return its stream."""
        while not self._stream:
            self._told.clear()
            try:
                await asyncio.wait_for(self._told.wait(), self._pause_s)
            except asyncio.TimeoutError:
                if not self._stream:  # it may have come at this very moment
                    self._pause_s = self.patience_s
                    self._ask()
        return self._stream

    async def _connect(self):
        """Serve one connection after the other."""
        while True:
            stream = await self._open()
            if not self._present:
                self._held.clear()
                for subscription in self._subscriptions.values():
                    subscription.made = False
            self._aside = []  # what was in it comes again
            self._passed_over = False
            self.connects += 1
            work = (self._restore(), self._ping(stream), self._catch_up())
            tasks = [asyncio.create_task(self._attend(stream, each)) for each in work]
            why = ""
            try:
                await self._read(stream)
            except OSError as error:
                why = str(error)
            except Exception as error:  # a full heap, too: a new connection brings it again
                why = repr(error)
                sys.print_exception(error)
            finally:
                for task in tasks:
                    task.cancel()
            if stream is self._stream:
                self._hang_up(why)
            elif self._hung_up:
                self._blame()  # now that all acknowledgements are read

    async def _attend(self, stream, work):
        try:
            await work
        except Exception as error:  # a full heap, too: on a new connection it is done again
            sys.print_exception(error)
            stream.close(repr(error))

    def _hang_up(self, why):
        self._fail(why)
        self.send(CONTROL, bytes((CLOSE,)) + why.encode())

    def _blame(self):
        """Find out at which message the broker hung up, and give it up when it is too often.

        Of several that are on their way it may be any: when that happens to one twice, they go
        alone from then on.
        """
        flying = [each for each in self._unacknowledged() if each.sent == self.connects]
        for waiting in flying:
            self._careful = self._careful or waiting.suspect
            waiting.suspect = True
        if len(flying) == 1:
            self._failures = 0  # it is not the broker that is at fault
            waiting.hang_ups += 1
            if waiting.hang_ups >= _HANG_UPS:
                self.refused += 1
                waiting.done.set()

    def _unacknowledged(self):
        return [each for each in self._waiting if each.kind == 0x40 and not each.done.is_set()]

    async def _restore(self):
        """Make subscriptions, and send again what is not acknowledged."""
        self.connected.set()
        self._say("connected")
        for number in [number for number, handled in self._held.items() if handled]:
            await self._acknowledge(number)
        await self._subscribe_all(_ANSWER_S)
        while self.connected.is_set() and not self._ready:
            unsent = [each for each in self._unacknowledged() if each.sent != self.connects]
            self._careful = self._careful and any([each.suspect for each in unsent])
            self._ready = not unsent
            for waiting in unsent[:1]:  # others may be acknowledged meanwhile, or be new
                await self._try(waiting, 8 if self._present and waiting.sent else 0)
                if self._careful:
                    await _within(_ANSWER_S, waiting.done.wait())
        await asyncio.sleep(_YOUNG_S)
        self._failures = 0
        await self._subscribe_all(None)

    async def _subscribe_all(self, limit_s):
        """Make the subscriptions that are not made; with a limit none at which the broker seems to
        hang up: these have to wait until the connection serves everything else."""
        for topic_filter, subscription in list(self._subscriptions.items()):
            if subscription.made or limit_s and subscription.hang_ups >= _HANG_UPS:
                continue
            if await _within(limit_s, self._make(topic_filter, subscription)) == 0x80:
                self._say("the broker refuses the subscription to " + topic_filter)

    async def _catch_up(self):
        """Take what was put aside, as soon as there is room."""
        while True:
            self._room.clear()
            await self._room.wait()
            while self._aside and len(self._held) < self.incoming:
                await self._arrive(*self._aside.pop(0))
            if not self._aside:
                self._room.set()  # the reader may wait for that
                if self._passed_over and not self._held and self._stream:
                    self._passed_over = False
                    self._stream.close("more messages than there was room for")

    async def _ping(self, stream):
        self._last = ticks_ms()
        try:
            while self._keepalive:
                await asyncio.sleep(self._keepalive / 2)
                await self._send(b"\xc0\x00")
                silent = ticks_diff(ticks_ms(), self._last)
                if silent > self._keepalive * 1500 and len(self._held) < self.incoming:
                    stream.close("the broker is silent")
                    self._hang_up("the broker is silent")
        except OSError:
            pass

    async def _read(self, stream):
        """Take packets until the connection ends."""
        data = b""
        while True:
            size = shift = 0
            body = 1
            while True:
                while len(data) <= body:
                    data += await stream.read()
                byte = data[body]
                size |= (byte & 127) << shift
                shift += 7
                body += 1
                if byte < 128:
                    break
                if shift > 21:
                    raise ValueError("a length of more than four bytes")
            keep = min(size, self.max_payload + 1024)
            while len(data) < body + keep:
                data += await stream.read()
            packet, rest = data[body : body + keep], data[body + keep :]
            first = data[0]
            data = rest
            skip = size - keep
            while skip:
                data = data or await stream.read()
                skip, data = skip - min(skip, len(data)), data[skip:]
            self._last = ticks_ms()
            await self._take_packet(first, packet, size)

    async def _take_packet(self, first, packet, size):
        if first & 0xF0 == 0x30:
            if first & 6 and (self._aside or len(self._held) >= self.incoming):
                # A handler may wait for an acknowledgement, which comes behind other messages.
                if len(self._aside) < 2 * self.incoming or self._clean:
                    self._aside.append((first, packet, size))
                else:
                    self._passed_over = True  # a new connection brings it again
                while self._aside and not self._waiting and self._stream:
                    self._room.clear()
                    await self._room.wait()
                return
            return await self._arrive(first, packet, size)
        if first != 0xD0:
            number = struct.unpack_from(">H", packet)[0]
            for waiting in self._waiting:
                if waiting.number == number and waiting.kind == first:
                    waiting.code = packet[2] if first == 0x90 else 0
                    waiting.done.set()

    async def _arrive(self, first, packet, size):
        """Give a message to its subscriptions."""
        start = 2 + struct.unpack_from(">H", packet)[0]
        topic = str(packet[2:start], "utf-8")
        number = 0
        if first & 6:
            number = struct.unpack_from(">H", packet, start)[0]
            start += 2
            if first & 8 and number in self._held:
                if self._held[number]:  # there was no connection to say so
                    await self._acknowledge(number)
                return
        targets = [
            subscription
            for topic_filter, subscription in self._subscriptions.items()
            if _matches(self._full(topic_filter), topic)
        ]
        if size > len(packet) or len(packet) - start > self.max_payload:
            self.oversized += 1
            targets = []
        payload, left = packet[start:], [len(targets)]
        if number:
            self._held[number] = False
            if not targets:
                await self._acknowledge(number)
        for target in targets:
            if number or len(target.items) < self.incoming:
                target.items.append((topic, payload, first & 1 == 1, number, left))
                target.news.set()
            else:
                self.dropped += 1

    async def _acknowledge(self, number):
        # Forgotten first: the broker may use the number again before we are back.
        if self._held.pop(number, None) is not None:
            try:
                await self._send(_packet(0x40, struct.pack(">H", number), b""))
            except OSError:
                self._held[number] = True  # it comes again, and then
            self._room.set()

    async def _handle(self, subscription):
        """Call the handler of a subscription for each of its messages."""
        while True:
            while not subscription.items:
                subscription.news.clear()
                await subscription.news.wait()
            topic, payload, retained, number, left = subscription.items.pop(0)
            try:
                result = subscription.handler(topic, payload, retained)
                if hasattr(result, "send"):
                    await result
            except Exception as error:
                self.failed += 1
                sys.print_exception(error)
            left[0] -= 1
            if number and not left[0]:
                await self._acknowledge(number)


class _Messages:
    def __init__(self, link, topic_filter, qos):
        self._link = link
        self._filter = topic_filter
        self._qos = qos
        self._item = None
        self._arrived = asyncio.Event()
        self._wanted = asyncio.Event()

    async def __aenter__(self):
        await self._link.subscribe(self._filter, self._give, self._qos)
        return self

    async def __aexit__(self, *_):
        await self._link.unsubscribe(self._filter)

    async def _give(self, *item):
        self._item = item
        self._wanted.clear()
        self._arrived.set()
        await self._wanted.wait()

    def __aiter__(self):
        return self

    async def __anext__(self):
        self._wanted.set()  # with the one before we are through
        self._item = None
        await self._arrived.wait()
        self._arrived.clear()
        return self._item


async def _within(limit_s, work):
    """Return what `work` does, None if it takes longer."""
    try:
        return await asyncio.wait_for(work, limit_s)
    except asyncio.TimeoutError:
        return None


def _check(topic, is_filter=False):
    """Raise ValueError if a broker could but hang up at a topic, or at a filter."""
    plain = topic
    if is_filter:  # each + alone between two slashes, and # behind the last one
        levels = topic.split("/")
        if levels[-1] == "#":
            levels.pop()
        plain = "/".join([level for level in levels if level != "+"])
    wrong = [character for character in "+#\0" if character in plain]
    if not 0 < len(topic.encode()) <= _MAX_TOPIC:
        why = "it has %d bytes" % len(topic.encode())
    elif wrong:
        why = "%r has no place there" % wrong[0]
    else:
        return
    kind = "filter to subscribe to" if is_filter else "topic to publish to"
    raise ValueError("no %s: %.40s: %s" % (kind, topic, why))


def _text(text):
    data = text.encode() if isinstance(text, str) else text
    if len(data) > 65535:
        raise ValueError("too long")
    return struct.pack(">H", len(data)) + data


def _packet(first, head, payload):
    size = len(head) + len(payload)
    length = b""
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    return bytes((first,)) + length + bytes((size,)) + head + payload


def _matches(topic_filter, topic):
    wanted = topic_filter.split("/")
    levels = topic.split("/")
    if topic[:1] == "$" and wanted[0] in ("+", "#"):
        return False
    for index, part in enumerate(wanted):
        if part == "#":
            return True
        if index >= len(levels) or part not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)
