"""Tests the fall-back broker: when it is turned to, with whose login, and the way back."""

import asyncio
import unittest

from fakes import FakeLog, FakeStream, run, until

from mqboard.mqtt import Client
from mqboard.net import fallback

CONNACK = b"\x20\x02\x00\x00"


class World:
    """Two brokers that are there or not, and a client that has both; `tried`: who was asked."""

    def __init__(self):
        self.tried = []
        self.sent_to = []  # other servers than the broker that was asked
        self.made = []
        self.there = {"one": False, "two": True}
        self.log = FakeLog()
        self.streams = []
        self.first = fallback.Broker({"host": "one", "port": 1, "user": "first", "password": "1"})
        other = fallback.Broker({"host": "two", "port": 2, "user": None, "password": None})
        self.brokers = fallback.Brokers(
            (self.first, self.making("one")), (other, self.making("two")), None, self.log
        )
        self.client = Client(self.brokers.open, "board", user="first", log=self.log)
        self.client.backoff_ms = 1
        self.brokers.client = self.client

    def making(self, name):
        def make():
            self.made.append(name)
            return self.opener(name)

        return make

    def opener(self, name):
        async def open_it(*server):
            self.tried.append(name)
            self.sent_to.append(server)
            if not self.there[name]:
                raise OSError("refused")
            stream = FakeStream()
            stream.feed(CONNACK)
            self.streams.append(stream)
            return stream

        return open_it

    async def runs(self, body):
        task = asyncio.create_task(self.client.run())
        try:
            await body()
        finally:
            task.cancel()


class Turns:
    """asyncio for one who sleeps for ten minutes: it takes but a moment. `looks`: how long."""

    def __init__(self):
        self.looks = []

    async def sleep(self, seconds):
        self.looks.append(seconds)
        await asyncio.sleep(0.01)


class FallbackTest(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.turns = fallback.asyncio = Turns()

    def tearDown(self):
        fallback.asyncio = asyncio

    def test_after_failures_it_is_the_other_ones_turn_and_then_each_in_turn(self):
        world = self.world
        world.there["two"] = False

        async def body():
            await until(lambda: len(world.tried) >= 8)

        run(world.runs(body))
        self.assertEqual(world.tried[:8], ["one"] * 3 + ["two", "one", "two", "one", "two"])
        self.assertEqual(world.made[:6], ["one", "two", "one", "two", "one", "two"])
        self.assertTrue("no broker: one: refused" in world.log.lines[0])
        self.assertTrue(any("no broker: two: refused" in line for line in world.log.lines))

    def test_a_configuration_on_trial_has_to_reach_the_first_one(self):
        world = self.world
        world.first.trial = True

        async def body():
            await until(lambda: len(world.tried) >= 6)
            self.assertEqual(set(world.tried), {"one"})
            world.first.trial = False
            await world.client.up.wait()
            self.assertTrue(world.brokers.fallen_back)

        run(world.runs(body))

    def test_each_broker_has_its_own_login(self):
        world = self.world

        async def body():
            await world.client.up.wait()
            self.assertTrue(world.brokers.fallen_back)
            self.assertFalse(b"first" in world.streams[-1].sent)
            world.there["one"] = True
            world.streams[-1].end()
            await world.client.down.wait()
            await world.client.up.wait()
            self.assertFalse(world.brokers.fallen_back)
            self.assertTrue(b"\0\5first\0\x011" in world.streams[-1].sent)

        run(world.runs(body))
        told = [line for line in world.log.lines if line.startswith("using")]
        self.assertEqual(told, ["using the fall-back broker two"])

    def test_after_every_connection_the_first_one_is_tried_first(self):
        world = self.world

        async def body():
            for _ in range(2):
                await world.client.up.wait()
                world.streams[-1].end()
                await world.client.down.wait()
            await world.client.up.wait()

        run(world.runs(body))
        self.assertEqual(world.tried, ["one"] * 3 + ["two", "one", "one"] * 2 + ["two"])

    def test_the_first_one_is_gone_back_to_when_it_answers_and_not_during_an_update(self):
        world, looks = self.world, self.turns.looks
        said, busy = [], [True]

        async def goodbye(reason):
            said.append(reason)

        async def answers(broker):
            return world.there[broker.host]

        async def more_looks():
            count = len(looks)
            await until(lambda: len(looks) > count + 2)

        async def body():
            task = asyncio.create_task(world.brokers.come_back(lambda: busy[0], goodbye))
            await world.client.up.wait()
            world.there["one"] = True
            await more_looks()
            self.assertEqual(said, [])
            busy[0] = False
            await until(lambda: world.client.connects == 2)
            await more_looks()
            task.cancel()
            self.assertFalse(world.brokers.fallen_back)

        world.brokers._answers = answers
        run(world.runs(body))
        self.assertEqual(said, ["back to its first broker"])
        self.assertEqual(world.streams[0].sent[-2:], b"\xe0\0")  # no will is due
        self.assertEqual((set(looks), looks[-1]), ({600, 1200}, 600))

    def test_who_is_sent_to_another_server_goes_there_as_a_client_of_that_broker(self):
        world = self.world
        world.there["one"] = True

        async def body():
            await world.brokers.open()
            await world.brokers.open("three", 3)

        run(body())
        self.assertEqual((world.tried, world.client.peer), (["one", "one"], "one"))
        self.assertEqual(world.sent_to, [(), ("three", 3)])
        self.assertEqual(world.made, ["one"])  # with the same certificates

    def test_a_first_one_that_only_seems_to_be_back_is_left_alone_longer_and_longer(self):
        world, looks = self.world, self.turns.looks

        async def goodbye(reason):
            pass

        async def answers(broker):
            return True

        async def body():
            task = asyncio.create_task(world.brokers.come_back(lambda: False, goodbye))
            await until(lambda: looks and looks[-1] >= 6 * 3600)
            task.cancel()

        world.brokers._answers = answers
        run(world.runs(body))
        self.assertEqual(sorted(set(looks)), [600, 1200, 2400, 4800, 9600, 19200, 21600])


if __name__ == "__main__":
    unittest.main()
