"""Loses MQTT messages on purpose: a proxy between many clients and their broker.

Each PUBLISH that `loses` picks has a chance of `rate` to vanish; everything else passes. One at
QoS 1 that is lost on the way to a client is acknowledged to the broker in its place: as if the
broker had dropped it for want of room, which is how real ones lose what is at QoS 1. What passes up
to the broker is counted, by the kind of packet, and messages by what they are about.
"""

import asyncio
import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

HOST = "127.0.0.1"
_PUBLISH, _QOS, _PUBACK = 0x30, 0x06, 0x40
_KINDS = {1: "connect", 4: "puback", 8: "subscribe", 10: "unsubscribe", 12: "ping"}
_PING = "/mqb/cmd/ping/"
# What the topics of messages have in them, and the word for it.
_ABOUT = {
    "/mqb/blocks/": "blocks",
    "/mqb/cmd/": "commands",
    "/mqb/reply/": "replies",
    "/mqb/status": "statuses",
    "/log": "log",
}


@dataclass(frozen=True)
class Message:
    """A PUBLISH on its way `down` to a client, or up to the broker."""

    down: bool
    qos: int
    topic: str
    packet_id: int


def at_qos_0(message: Message) -> bool:
    """Pick what MQTT itself may lose."""
    return message.qos == 0


def of_blocks(message: Message) -> bool:
    """Pick what brings blocks to boards, at whatever QoS."""
    return message.down and "/mqb/blocks/" in message.topic


class LossyProxy:
    """Listens on a free loopback `port` for clients of the broker at `target`, in a thread.

    `lost` is how many messages it has lost; `up` are the bytes to the broker by the kind of packet,
    those of messages as "blocks", "commands", "replies", "statuses", "log" and "messages", and
    "pings": commands that boards send to themselves now and then, and their answers.
    """

    def __init__(
        self, target: int, rate: float, loses: Callable[[Message], bool] = at_qos_0, seed: int = 1
    ) -> None:
        self.port = 0
        self.lost = 0
        self.up: Counter[str] = Counter()
        self._target = target
        self._rate = rate
        self._loses = loses
        self._pings: set[str] = set()  # the ids of these commands
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._listens = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listens.wait(10), "the proxy does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut all connections, and listen no more."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._meet, HOST, 0, backlog=512)
        self.port = int(server.sockets[0].getsockname()[1])
        self._listens.set()
        await self._over.wait()
        server.close()
        current = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            broker_reader, broker = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.close()
            return
        ways = [
            asyncio.ensure_future(self._pass(reader, broker, broker, False)),
            asyncio.ensure_future(self._pass(broker_reader, writer, broker, True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the end; asyncio's server would print a traceback of each
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, broker):
                end.close()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        broker: asyncio.StreamWriter,
        down: bool,
    ) -> None:
        """Pass packets on in one direction until either end is gone."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head, body = await _packet(reader)
                kind = _KINDS.get(head[0] >> 4, "other")
                if head[0] & 0xF0 == _PUBLISH:
                    message = _message(head[0], body, down)
                    if self._drops(message, broker):
                        continue
                    kind = self._about(message.topic)
                if not down:
                    self.up[kind] += len(head) + len(body)
                writer.write(head + body)
                await writer.drain()

    def _about(self, topic: str) -> str:
        """Return the word for what a message to `topic` is about."""
        if _PING in topic:
            self._pings.add(topic.rpartition("/")[2])
        if topic.rpartition("/")[2] in self._pings:
            return "pings"
        return next((word for part, word in _ABOUT.items() if part in topic), "messages")

    def _drops(self, message: Message, broker: asyncio.StreamWriter) -> bool:
        """Return whether `message` is lost."""
        if not self._loses(message) or self._random.random() >= self._rate:
            return False
        self.lost += 1
        if message.qos and message.down:
            broker.write(bytes((_PUBACK, 2)) + message.packet_id.to_bytes(2, "big"))
        return True


async def _packet(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one packet: its fixed header, and the rest (MQTT 3.1.1, 2.2)."""
    head = await reader.readexactly(2)
    size, shift = head[1] & 127, 7
    while head[-1] & 128:
        head += await reader.readexactly(1)
        size |= (head[-1] & 127) << shift
        shift += 7
    return head, await reader.readexactly(size)


def _message(first: int, body: bytes, down: bool) -> Message:
    end = 2 + int.from_bytes(body[:2], "big")
    qos = (first & _QOS) >> 1
    packet_id = int.from_bytes(body[end : end + 2], "big") if qos else 0
    return Message(down, qos, body[2:end].decode("utf-8", "replace"), packet_id)
