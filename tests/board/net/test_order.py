"""Tests the order of networks: what begins when, what is used, and what is gone back to."""

import asyncio
import unittest

from fakes import FakeLog, run, until

from mqboard.net import order
from mqboard.net.order import Order

ORDER = ("ethernet", "wifi", "modem")


class FakeLink:
    """A network that the test says is up; it comes up only while it runs."""

    def __init__(self, name):
        self.name = name
        self.there = False
        self.running = False
        self.interface = self
        self.calls = []
        self.fail = None

    async def run(self):
        self.running = True
        try:
            while True:
                if self.fail:
                    raise self.fail
                await asyncio.sleep(0.001)
        finally:
            self.running = False

    def connected(self):
        return self.there and self.running

    def address(self):
        return "address of " + self.name

    def dns(self):
        return "dns of " + self.name

    def rssi(self):
        return -50

    def switch_off(self):
        self.calls.append("off")

    def restart(self):
        self.calls.append("restart")


class FakeClient:
    connected = False

    def __init__(self):
        self.calls = []

    async def disconnect(self):
        self.calls.append("disconnect")
        self.connected = False


class OrderTest(unittest.TestCase):
    def setUp(self):
        self.now = 0
        self.real = order.ticks_ms, order._TURN_S
        order.ticks_ms = lambda: self.now
        order._TURN_S = 0.002
        self.links = [FakeLink(name) for name in ORDER]
        self.ethernet, self.wifi, self.modem = self.links
        self.log = FakeLog()
        self.one = Order([(link.name, link) for link in self.links], 30, self.log)
        self.client = self.one.client = FakeClient()
        self.work = False
        self.one.busy = lambda: self.work
        self.one.goodbye = self.goodbye
        self.turns = 0
        turn = self.one._turn

        async def counted(now):
            self.turns += 1
            await turn(now)

        self.one._turn = counted

    def tearDown(self):
        order.ticks_ms, order._TURN_S = self.real

    async def goodbye(self, why):
        self.client.calls.append(why)

    def play(self, scene):
        """Run `scene()` while the order runs."""

        async def play():
            task = asyncio.create_task(self.one.run())
            try:
                await until(lambda: self.turns)
                await scene()
            finally:
                task.cancel()
                await until(lambda: not any([link.running for link in self.links]))

        run(play())

    async def passes(self, seconds):
        """Let everybody look at what has changed, then `seconds` pass, and all look again."""
        for passed in (0, seconds):
            self.now += passed * 1000
            await until(lambda at=self.turns: self.turns >= at + 3)

    async def uses(self, name):
        await until(lambda: self.one.name == name)

    async def reach(self, link):
        """Bring a network up, and have the broker reached over it."""
        link.there = True
        await self.uses(link.name)
        self.client.connected = True
        await self.passes(1)

    def test_the_best_one_is_used_and_no_other_begins(self):
        async def scene():
            await self.reach(self.ethernet)
            await self.passes(3600)
            self.assertEqual(self.one.name, "ethernet")
            self.assertEqual([link.running for link in self.links], [True, False, False])
            self.assertEqual(self.one.address(), "address of ethernet")
            self.assertEqual((self.one.dns(), self.one.rssi()), ("dns of ethernet", -50))
            self.assertTrue(self.one.connected())

        self.play(scene)

    def test_without_a_network_nothing_is_known_of_it(self):
        async def scene():
            await self.passes(1)
            self.assertEqual((self.one.name, self.one.connected()), ("", False))
            self.assertEqual((self.one.address(), self.one.dns(), self.one.rssi()), ("", "", None))
            self.one.restart()  # nothing to begin anew

        self.play(scene)

    def test_each_has_its_time_until_the_next_begins(self):
        async def scene():
            await self.passes(28)
            self.assertEqual([link.running for link in self.links], [True, False, False])
            await self.passes(3)
            self.assertEqual([link.running for link in self.links], [True, True, False])
            await self.passes(28)
            self.assertFalse(self.modem.running)
            await self.passes(3)
            self.assertTrue(self.modem.running)
            await self.reach(self.modem)

        self.play(scene)

    def test_what_is_lost_is_stood_in_for_and_gone_back_to(self):
        async def scene():
            await self.reach(self.ethernet)
            self.ethernet.there = False
            await self.passes(1)
            self.assertEqual(self.client.calls, ["disconnect"])  # not only when keepalive is over
            await self.passes(31)
            await self.reach(self.wifi)
            self.client.calls.clear()
            self.ethernet.there = True
            await self.passes(8)
            self.assertEqual(self.one.name, "wifi")  # it may be gone again in a moment
            await self.passes(4)
            self.assertEqual(self.one.name, "ethernet")
            self.assertEqual(self.client.calls, ["back to ethernet", "disconnect"])
            self.assertFalse(self.wifi.running)
            self.assertEqual(self.wifi.calls, ["off"])

        self.play(scene)

    def test_a_piece_of_work_is_not_cut_to_go_back(self):
        async def scene():
            await self.passes(31)
            await self.reach(self.wifi)
            self.work = True
            self.ethernet.there = True
            await self.passes(3600)
            self.assertEqual((self.one.name, self.client.connected), ("wifi", True))
            self.work = False
            await self.uses("ethernet")

        self.play(scene)

    def test_one_that_comes_and_goes_is_gone_back_to_less_and_less(self):
        async def scene():
            for pause in (10, 20, 40):
                self.ethernet.there = False
                await self.passes(31)
                await self.reach(self.wifi)
                self.ethernet.there = True
                await self.passes(pause - 2)
                self.assertEqual(self.one.name, "wifi")
                await self.passes(4)
                self.assertEqual(self.one.name, "ethernet")
                self.client.connected = True
                await self.passes(1)
            await self.passes(700)  # it holds: all is as at first
            self.ethernet.there = False
            await self.passes(31)
            await self.reach(self.wifi)
            self.ethernet.there = True
            await self.passes(12)
            self.assertEqual(self.one.name, "ethernet")

        self.play(scene)

    def test_one_over_which_no_broker_is_reached_is_passed_over(self):
        async def scene():
            self.ethernet.there = True  # a switch that leads nowhere
            await self.uses("ethernet")
            self.wifi.there = True
            await self.passes(58)
            self.assertFalse(self.wifi.running)
            await self.passes(4)
            await self.reach(self.wifi)
            await self.passes(590)
            self.assertFalse(self.ethernet.running)  # nor is anything sent over it
            self.assertEqual(self.one.name, "wifi")
            await self.passes(20)
            self.assertTrue(self.ethernet.running)
            await self.passes(12)
            self.assertEqual(self.one.name, "ethernet")  # it has another try
            await self.passes(62)
            await self.reach(self.wifi)
            await self.passes(1150)
            self.assertEqual(self.one.name, "wifi")  # the next one comes later
            self.assertFalse(self.ethernet.running)
            await self.passes(60)
            await self.passes(12)
            self.assertEqual(self.one.name, "ethernet")

        self.play(scene)

    def test_when_no_broker_is_reached_at_all_each_has_its_turn_again(self):
        async def scene():
            seen = []
            for link in self.links:
                link.there = True
            for _ in range(6):
                await until(lambda: self.one.name)
                seen.append(self.one.name)
                await self.passes(62)
            self.assertEqual(seen[:4], ["ethernet", "wifi", "modem", "ethernet"])

        self.play(scene)

    def test_a_restart_of_the_network_turns_to_the_next_one(self):
        async def scene():
            await self.reach(self.ethernet)
            self.wifi.there = True
            self.client.connected = False
            self.one.restart()
            self.assertEqual(self.ethernet.calls, ["restart", "off"])
            await self.uses("wifi")
            self.assertFalse(self.ethernet.running)

        self.play(scene)

    def test_an_avoided_one_is_better_than_none(self):
        async def scene():
            self.ethernet.there = True
            await self.uses("ethernet")
            await self.passes(62)
            await self.passes(31)
            self.assertTrue(self.modem.running)
            await self.passes(110)
            self.assertEqual(self.one.name, "")
            await self.passes(12)
            await self.uses("ethernet")

        self.play(scene)

    def test_one_that_dials_for_long_is_not_ended_by_one_over_which_nothing_gets_through(self):
        async def scene():
            self.ethernet.there = True
            await self.uses("ethernet")
            await self.passes(62)
            await self.passes(31)
            for _ in range(5):  # ethernet and wifi come again and again, and the modem dials
                await self.passes(122)
                self.assertTrue(self.modem.running)
            self.assertFalse("off" in self.modem.calls)
            await self.uses("ethernet")
            self.modem.there = True
            await self.uses("modem")  # no need to wait for the minute to be over
            self.client.connected = True
            await self.passes(100)
            self.assertEqual(self.one.name, "modem")
            self.assertEqual(
                [link.running for link in self.links], [False, True, True], "the avoided one is off"
            )

        self.play(scene)

    def test_those_behind_are_ended_when_the_broker_is_reached(self):
        async def scene():
            await self.passes(31)
            await self.passes(31)
            self.wifi.there = True
            await self.uses("wifi")
            await self.passes(30)
            self.assertTrue(self.modem.running)
            self.client.connected = True
            await self.passes(1)
            self.assertFalse(self.modem.running)
            self.assertTrue(self.ethernet.running)

        self.play(scene)

    def test_of_two_that_are_up_only_one_stays(self):
        async def scene():
            await self.passes(31)
            self.wifi.there = True
            self.ethernet.there = True
            await self.uses("ethernet")
            await self.passes(1)
            self.assertEqual([link.running for link in self.links], [True, False, False])
            self.assertEqual(self.one.name, "ethernet")

        self.play(scene)

    def test_a_link_that_dies_ends_the_task_for_the_supervisor(self):
        async def scene():
            self.ethernet.fail = ValueError("broken")
            try:
                await self.one.run()
            except ValueError as error:
                self.assertEqual(str(error), "broken")
            else:
                self.assertTrue(False)

        run(scene())


if __name__ == "__main__":
    unittest.main()
