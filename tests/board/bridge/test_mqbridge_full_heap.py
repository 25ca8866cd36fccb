"""Tests that a bridge whose heap is full says so to the target, and brings it a broker later."""

import asyncio
import unittest

import mqlink
from bridgepair import Broker, Pair
from fakes import run, until


class FullHeap:
    """Is a broker of which no more can be read."""

    @property
    def tls(self):
        raise MemoryError("no room for an opener")


class Brokers:
    fallen_back = True

    def __init__(self, *brokers):
        self.pairs = [(broker, None) for broker in brokers]


class TestFullHeap(unittest.TestCase):
    def test_no_room_for_a_connection_is_told_and_tried_again(self):
        broker = Broker()
        broker.errors = [MemoryError("no room for TLS"), TypeError("not callable")]

        async def go():
            async with Pair(broker) as pair:
                await pair.connected()
                self.assertEqual(await pair.link.publish("good", b"", 1), True)
                self.assertIn("no broker: no room for TLS", pair.states)
                self.assertIn("no broker: not callable", pair.states)
                return "\n".join(pair.log.lines)

        text = run(go())
        self.assertIn("for the target: no broker: no room for TLS; attempt 1 in ", text)
        self.assertIn("for the target: no broker: not callable; attempt 2 in ", text)
        self.assertEqual(broker.got, ["good"])

    def test_no_room_while_it_carries_ends_one_connection_and_no_more(self):
        broker = Broker()

        async def go():
            async with Pair(broker) as pair:
                await pair.connected()
                broker.connections[0].fail(MemoryError("no room for bytes"))
                await until(lambda: len(broker.connections) == 2)
                await pair.connected()
                self.assertEqual(await pair.link.publish("good", b"", 1), True)
                self.assertIn("no room for bytes", pair.states)
                return pair.log.lines

        lines = run(go())
        self.assertTrue([line for line in lines if "connection ended: MemoryError" in line], lines)
        self.assertTrue(broker.connections[0].closed)

    def test_a_cancellation_is_no_failure_and_nothing_is_said(self):
        broker = Broker()

        async def go():
            async with Pair(broker) as pair:
                await pair.connected()
                said = []
                pair.bridge.send = lambda channel, data: said.append(data)
                task = pair.bridge._task
                pair.bridge.hang_up()
                await until(task.done)
                return said

        self.assertEqual(run(go()), [])
        self.assertTrue(broker.connections[0].closed)

    def test_a_wish_that_is_none_is_answered(self):
        async def go():
            async with Pair(Broker()) as pair:
                await pair.connected()
                pair.link.send(mqlink.CONTROL, bytes((mqlink.OPEN, 0)))
                await until(lambda: pair.link.connects == 2)

        run(go())

    def test_no_room_for_the_opener_of_another_broker_leaves_that_of_none(self):
        async def go():
            bridge = Pair(Broker()).bridge
            bridge._board.link = None
            bridge._board.brokers = Brokers(bridge._broker, FullHeap())
            with self.assertRaises(MemoryError):
                bridge._choose()
            return bridge._opener, bridge._broker

        self.assertEqual(run(go()), (None, None))

    def test_no_room_for_the_time_is_told(self):
        async def go():
            async with Pair(Broker()) as pair:
                await pair.connected()
                self.assertEqual(await pair.link.time(), 1_900_000_000)

                async def full(server):
                    raise MemoryError("no room for a question")

                pair.bridge._ask = full
                with self.assertRaises(OSError) as raised:
                    await pair.link.time()
                self.assertEqual(str(raised.exception), "no room for a question")
                self.assertIn("no time for the target: MemoryError", pair.log.lines[-1])
                self.assertEqual(pair.bridge._questions, 0)

        run(go())


class TestSilence(unittest.TestCase):
    def test_a_bridge_that_does_not_answer_is_asked_again(self):
        asked = []

        async def go():
            async with Pair(Broker()) as pair:
                pair.link.patience_s = 0.2
                answer = pair.bridge.on_message

                def deaf(channel, data):
                    if data[0] == mqlink.OPEN:
                        asked.append(data)
                    if data[0] != mqlink.OPEN or len(asked) > 2:
                        answer(channel, data)

                pair.bridge.on_message = deaf
                await pair.connected()

        run(go())
        self.assertTrue(len(asked) >= 3)

    def test_one_that_never_tells_the_time_is_given_up(self):
        async def go():
            async with Pair(Broker()) as pair:
                await pair.connected()
                pair.link.patience_s = 0.05

                async def silent(number, server):
                    await asyncio.sleep(0)

                pair.bridge._tell_time = silent
                with self.assertRaises(OSError) as raised:
                    await pair.link.time()
                self.assertEqual(str(raised.exception), "no answer in time")

        run(go())


if __name__ == "__main__":
    unittest.main()
