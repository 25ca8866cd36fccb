"""Runs a router with the commands `eval` and `slow`, on a publish that only records."""

import asyncio

from fakes import FakeLog, black_box, until

import mqwire
from mqboard.repl.eval import Repl
from mqboard.router import MANAGEMENT, Router

PREFIX = "esp32/test"


class Console:
    capture = None


class Bench:
    """A router and its commands; `sent` has what it published: (topic, payload)."""

    def __init__(self):
        self.sent = []
        self.log = FakeLog()
        self.console = Console()
        self.router = Router(PREFIX, self.publish, self.publish_now, self.log)
        self.box = black_box()
        self.names = {"write": lambda data: self.console.capture(data)}
        self.router.register("eval", Repl(self.console, self.names, self.box).eval)
        self.ran = []
        self.router.register("slow", self.slow)
        self.gate = asyncio.Event()

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

    def send(self, command, ident, text, sequence=0, last=True, retained=False):
        topic = mqwire.command_topic(PREFIX, command, ident)
        payload = mqwire.header(sequence, last) + text
        self.router.on_message(topic, memoryview(payload), retained)

    async def eval(self, text, ident="abcdefgh"):
        self.send("eval", ident, text)
        await until(lambda: self.sent and self._ended())
        return self.sent

    def _ended(self):
        topic, payload = self.sent[-1]
        return "err" in topic or mqwire.parse_header(payload)[1]
