"""Runs a router with the commands for code and one named `slow`, on a publish that only records."""

import asyncio
import json

from fakes import FakeLog, black_box, until

import mqwire
from mqboard.router import MANAGEMENT, Router

PREFIX = "esp32/test"


class Console:
    """Has no terminal; counts the interrupts that it would raise."""

    capture = None
    interrupts = 0

    def interrupt(self):
        self.interrupts += 1


class Config:
    prefix = PREFIX


class Identity:
    boot_id = "b00t"


class Reader:
    end = 0


class Client:
    """Has no connection."""

    connected = False
    reader = Reader()


class Entry:
    def __init__(self, task):
        self.task = task


class Supervisor:
    """Has tasks, and looks after none."""

    watch = None
    seconds = 100

    def __init__(self):
        self.tasks = {}

    def add(self, name, start, vital=True):
        self.tasks[name] = Entry(asyncio.create_task(start()))

    def find(self, name):
        return self.tasks[name]

    def forget(self, name):
        del self.tasks[name]


class Bench:
    """A router, its commands and their board; `sent` has what it published: (topic, payload)."""

    receiver = files = None
    config = Config
    identity = Identity
    client = Client

    def __init__(self):
        self.sent = []
        self.log = FakeLog()
        self.console = Console()
        self.router = Router(PREFIX, self.publish, self.publish_now, self.log)
        self.blackbox = black_box()
        self.supervisor = Supervisor()
        self.names = {"write": lambda data: self.console.capture(data), "asyncio": asyncio}
        self.router.register(("eval", "exec", "complete"), self.load_and_answer)
        self.router.register(("running", "cancel"), self.load_and_answer, MANAGEMENT)
        self.ran = []
        self.router.register("slow", self.slow)
        self.gate = asyncio.Event()

    async def load_and_answer(self, request):
        module = __import__("mqboard.commands." + request.command, None, None, ("answer",))
        await module.answer(self, request)

    async def publish(self, topic, payload, qos=0):
        self.sent.append((topic[len(PREFIX) + 5 :], bytes(payload)))
        return True

    def publish_now(self, topic, payload):
        self.sent.append((topic[len(PREFIX) + 5 :], bytes(payload)))

    async def slow(self, request):
        self.ran.append(request.ident)
        await self.gate.wait()
        await request.reply(b"done")

    def start(self):
        self.task = asyncio.create_task(self.router.run())
        self.management = asyncio.create_task(self.router.run(MANAGEMENT))
        return self

    def send(self, command, ident, text, sequence=0, last=True, retained=False, tail=""):
        topic = mqwire.command_topic(PREFIX, command, ident, tail)
        payload = mqwire.header(sequence, last) + text
        self.router.on_message(topic, memoryview(payload), retained)

    async def eval(self, text, ident="abcdefgh"):
        self.send("eval", ident, text)
        await until(lambda: self.sent and self._ended())
        return self.sent

    def exec(self, text, ident="abcdefgh", **options):
        """Begin with code; see `output`."""
        self.send("exec", ident, json.dumps(options).encode() + b"\n" + text)

    async def end(self, ident="abcdefgh"):
        """Wait for the end of the command `ident`: return what it put out, and its last word."""
        await until(lambda: self.last(ident) is not None)
        return self.output(ident), json.loads(self.last(ident))

    def output(self, ident="abcdefgh"):
        """Return what code has put out so far."""
        parts = self.parts(ident)
        return b"".join([data for sequence, last, data in parts if sequence and not last])

    def last(self, ident="abcdefgh"):
        for _, last, data in self.parts(ident):
            if last:
                return data
        return None

    def errors(self, ident):
        return [payload for topic, payload in self.sent if topic == "reply/err/" + ident]

    def parts(self, ident):
        found = []
        for topic, payload in self.sent:
            if topic == "reply/out/" + ident:
                sequence, last = mqwire.parse_header(payload)
                found.append((sequence, last, payload[2:]))
        return found

    def _ended(self):
        topic, payload = self.sent[-1]
        return "err" in topic or mqwire.parse_header(payload)[1]
