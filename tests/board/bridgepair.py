"""Links a target and a bridge by a wire in memory; the bridge's broker is what a test makes it."""

import asyncio

import machine

if not hasattr(machine, "UART"):  # CPython's stand-in
    machine.UART = machine.Pin = None

import mqbridge
import mqlink
from fakes import FakeLog, FakeStream

_CONNACK = b"\x20\x02\x00\x00"


class _Thing:
    """Has the attributes that it is made with."""

    def __init__(self, **attributes):
        for name, value in attributes.items():
            setattr(self, name, value)


class WireEnd:
    """One end of a wire in memory, as Line.run takes it."""

    def __init__(self):
        self.other = None
        self._data = b""
        self._news = asyncio.Event()

    async def read(self, count):
        while not self._data:
            self._news.clear()
            await self._news.wait()
        data, self._data = self._data[:count], self._data[count:]
        return data

    def write(self, data):
        self.other._data += data
        self.other._news.set()

    async def drain(self):
        await asyncio.sleep(0)


class Broker:
    """Takes connections and acknowledges what comes, but hangs up at a packet for which
    `hangs_up(first byte, topic)`; `got` has the topics of the messages that it took.
    """

    def __init__(self, hangs_up=lambda first, topic: False):
        self.hangs_up = hangs_up
        self.connections = []
        self.got = []
        self.acknowledges = True
        self.errors = []  # raised in place of the next connections

    async def opener(self):
        if self.errors:
            raise self.errors.pop(0)
        self.connections.append(_Connection(self))
        return self.connections[-1]


class _Connection(FakeStream):
    def __init__(self, broker):
        super().__init__()
        self._broker = broker
        self.error = None  # raised by the next read

    def fail(self, error):
        """Have the next read raise `error`."""
        self.error = error
        self._news.set()

    def readinto(self, view):
        if self.error:
            error, self.error = self.error, None
            raise error
        return super().readinto(view)

    async def wait_readable(self):
        while not self.incoming and not self.eof and not self.error:
            self._news.clear()
            await self._news.wait()

    def write(self, view):
        count = super().write(view)
        while len(self.sent) > 1 and len(self.sent) >= 2 + self.sent[1]:  # all of them are short
            end = 2 + self.sent[1]
            packet, self.sent = bytes(self.sent[:end]), self.sent[end:]
            if not self.eof:
                self._take(packet)
        return count

    def _take(self, packet):
        first = packet[0]
        start = 4 if first & 0xF0 == 0x30 else 6
        topic = str(packet[start : start + packet[start - 1]], "utf-8") if first != 0x10 else ""
        if self._broker.hangs_up(first, topic):
            self.end()
        elif first == 0x10:
            self.feed(_CONNACK)
        elif first & 0xF0 == 0x30:
            self._broker.got.append(topic)
            if first & 6 and self._broker.acknowledges:
                number = start + len(topic)
                self.feed(b"\x40\x02" + packet[number : number + 2])
        elif first == 0x82:
            self.feed(b"\x90\x03" + packet[2:4] + b"\x01")


class Pair:
    """A target, `link`, at a `bridge`: `async with Pair(broker) as pair` runs both."""

    def __init__(self, broker, **options):
        ends = WireEnd(), WireEnd()
        ends[0].other, ends[1].other = ends[1], ends[0]
        self.broker = broker
        self.states = []
        self.link = mqlink.Link(ends[0], on_state=self.states.append, **options)
        self.link.backoff_ms = 4
        config = _Thing(prefix="esp32/test", user=None, password=None, ntp="")
        board = _Thing(
            identity=_Thing(board="sim", version="1", id="2c"),
            config=config,
            brokers=None,
            reach=_Thing(state="connected"),
            clock=_Thing(trusted=True, now=lambda: 1_900_000_000),
        )
        settings = {"silence_s": 10, "name": "target", "user": None, "password": None}
        self.bridge = mqbridge.Bridge(board, settings | {"reset": None, "reset_s": None})
        self.bridge._log = self.log = FakeLog()
        self.bridge._broker = config
        self.bridge._opener = broker.opener
        self._uart = ends[1]
        self._tasks = []

    async def __aenter__(self):
        self._tasks = [
            asyncio.create_task(self.bridge.run(self._uart)),
            asyncio.create_task(self.link.run()),
        ]
        return self

    async def __aexit__(self, *_):
        self.bridge.hang_up()
        for task in self._tasks:
            task.cancel()

    async def connected(self):
        """Wait until the target has a connection to the broker."""
        await asyncio.wait_for(self.link.connected.wait(), 5)
