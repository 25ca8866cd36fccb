"""Tests how a board takes leave of its broker, for which the goodbye is the last word."""

import asyncio
import json
import unittest

from fakes import FakeLog, FakeStream, run, until

from mqboard import leaving
from mqboard.board import Board
from mqboard.mqtt import Client, packet

PREFIX = "esp32/test"
STATUS = PREFIX + "/mqb/status"
CONNACK = b"\x20\x02\0\0"


class Settings:
    prefix = PREFIX


class Identity:
    """What say_goodbye needs of a board's identity."""

    def offline(self, reason, clock):
        return json.dumps({"state": "offline", "reason": reason}).encode()


class Leaver:
    """A board with a real client; it is its own supervisor, whose one task publishes births."""

    def __init__(self):
        self.config, self.identity, self.clock = Settings(), Identity(), None
        self.supervisor = self
        self.stream = FakeStream()
        self.stream.feed(CONNACK)
        self.client = Client(self.open, "board", log=FakeLog(), keepalive=0)
        self.client.outbox.last_id = 0
        self.heard = []
        self.stopped = []

    async def open(self):
        return self.stream

    async def stop(self, name, timeout_s):
        self.stopped.append(name)
        return True

    def say_goodbye(self, reason):
        return Board.say_goodbye(self, reason)

    def hear(self, topic, payload, retained):
        self.heard.append(bytes(payload))

    async def begin(self):
        """Connect, subscribe to the own status, and begin to leave; return that task."""
        self.task = asyncio.create_task(self.client.run())
        await self.client.up.wait()
        subscribing = asyncio.create_task(self.client.subscribe(STATUS, self.hear))
        await until(lambda: b"\x82" in bytes(self.stream.sent))
        self.stream.feed(b"\x90\x03\0\x01\x01")
        await subscribing
        leave = asyncio.create_task(leaving.leave(self, "reset command"))
        await until(lambda: b'"reset command"' in bytes(self.stream.sent))
        return leave


class LeavingTest(unittest.TestCase):
    def test_the_goodbye_is_acknowledged_then_the_broker_is_left(self):
        async def go():
            board = Leaver()
            leave = await board.begin()
            self.assertEqual(board.stopped, ["birth"])
            # What the broker sends back of it is not taken for another board's word.
            goodbye = json.dumps({"state": "offline", "reason": "reset command"}).encode()
            self.feed_publish(board, goodbye)
            await asyncio.sleep(0.05)
            self.assertEqual(board.heard, [])
            self.assertNotEqual(bytes(board.stream.sent[-2:]), b"\xe0\0")
            board.stream.feed(b"\x40\x02\0\x02")
            await until(lambda: bytes(board.stream.sent[-2:]) == b"\xe0\0")
            self.assertFalse(leave.done())  # a reset could be faster than the network
            board.stream.end()
            await leave
            self.assertFalse(board.client.connected)
            self.assertEqual(board.client._log, None)

        run(go())

    def test_without_its_acknowledgement_the_will_is_left_to_the_broker(self):
        async def go():
            board = Leaver()
            leave = await board.begin()
            board.stream.end()  # the connection breaks in the middle of it
            await leave
            self.assertFalse(bytes(board.stream.sent).endswith(b"\xe0\0"))

        run(go())

    def test_who_is_not_connected_has_nobody_to_leave(self):
        async def go():
            board = Leaver()
            await leaving.leave(board, "reset command")
            self.assertEqual(bytes(board.stream.sent), b"")

        run(go())

    def feed_publish(self, board, payload):
        head = packet.topic_head(STATUS)
        body = bytes(head) + payload
        board.stream.feed(b"\x30" + bytes((len(body),)) + body)
