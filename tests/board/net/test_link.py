"""Tests the links: Wi-Fi over several access points, Ethernet, and networks that others keep up."""

import asyncio
import unittest

from fakes import FakeLog, run, until

from mqboard.net import wifi
from mqboard.net.ethernet import EthernetLink

WIFI = [("one", "1"), ("two", "2")]


class FakeInterface:
    """What WLAN and LAN have in common; the test says when it is connected."""

    def __init__(self):
        self.up = False
        self.on = False
        self.calls = []
        self.reachable = {}
        self.fail = None
        self.server = "10.0.0.1"
        self.state = 201

    def active(self, on=None):
        if on is not None:
            self.calls.append("on" if on else "off")
            if self.fail:
                raise self.fail
            self.on = on
            self.up = self.up and on
        return self.on

    def isconnected(self):
        return self.up

    def ifconfig(self):
        return ("10.0.0.2", "", "", self.server)

    def status(self, what=None):
        if what == "rssi" and self.state != 1001:
            raise OSError("Wifi Not Connected")
        return self.state

    def disconnect(self):
        self.up = False

    def connect(self, ssid, password):
        self.calls.append(ssid)
        self.up = self.on and self.reachable.get(ssid) == password


async def with_link(one, body):
    """Run `body()` while the link `one` runs."""
    task = asyncio.create_task(one.run())
    try:
        await body()
    finally:
        task.cancel()


class LinkTest(unittest.TestCase):
    def setUp(self):
        self.interface = FakeInterface()
        self.log = FakeLog()

    def test_a_network_of_others_is_taken_as_it_is(self):
        self.assertTrue(wifi.Link().connected())
        self.assertEqual(wifi.Link().address(), "")
        one = wifi.Link(self.interface)
        self.assertFalse(one.connected())
        self.interface.up = True
        self.assertEqual((one.connected(), one.address()), (True, "10.0.0.2"))
        one.restart()
        self.assertEqual(self.interface.calls, [])

    def test_the_name_server_is_known_with_the_network(self):
        self.assertEqual(wifi.Link().dns(), "")
        one = wifi.Link(self.interface)
        self.assertEqual(one.dns(), "")
        self.interface.up = True
        self.assertEqual(one.dns(), "10.0.0.1")
        self.interface.server = "0.0.0.0"
        self.assertEqual(one.dns(), "")

    def test_a_station_connects_and_again_when_the_network_was_gone(self):
        self.interface.reachable = {"one": "1"}
        one = wifi.WifiLink(self.interface, WIFI, self.log)

        async def body():
            await until(one.connected)
            self.interface.up = False
            await until(one.connected)
            self.assertEqual(self.interface.calls.count("one"), 2)
            self.assertEqual(self.interface.calls.count("two"), 0)

        run(with_link(one, body))

    def test_a_restart_begins_with_the_radio(self):
        self.interface.reachable = {"one": "1"}
        one = wifi.WifiLink(self.interface, WIFI, self.log)

        async def body():
            await until(one.connected)
            one.restart()
            self.assertFalse(one.connected())
            self.assertFalse(self.interface.on)
            await until(one.connected)

        run(with_link(one, body))

    def test_a_radio_that_fails_is_logged_and_the_next_network_tried(self):
        one = wifi.WifiLink(self.interface, WIFI, self.log)
        self.interface.fail = OSError("Wifi Internal State Error")

        async def body():
            await until(lambda: self.log.lines)
            self.interface.fail = None
            self.interface.reachable = {"two": "2"}
            await until(one.connected)

        run(with_link(one, body))
        self.assertTrue("not found" in "".join(self.log.lines))

    def test_a_network_without_ipv4_is_told_from_one_that_is_not_there(self):
        one = wifi.WifiLink(self.interface, WIFI, self.log)
        self.assertEqual(one._reason(), "not found")
        self.interface.state = 1001
        self.assertTrue("no IPv4 address" in one._reason())

    def test_ethernet_without_an_ipv4_address_is_told_once(self):
        one = EthernetLink({}, self.log, lambda arguments: self.interface)
        one.patience_s = 0

        async def body():
            await until(lambda: any("no IPv4 address" in line for line in self.log.lines))
            self.interface.up = True
            await until(lambda: len(self.log.lines) == 2)

        run(with_link(one, body))

    def test_ethernet_is_made_from_its_arguments_and_switched_on(self):
        made = []

        def make(arguments):
            made.append(arguments)
            return self.interface

        one = EthernetLink({"phy_type": "LAN8720"}, self.log, make)
        self.assertEqual((one.connected(), one.address()), (False, ""))

        async def body():
            await until(lambda: self.interface.on)
            self.interface.up = True
            await until(lambda: self.log.lines)
            self.assertEqual(one.address(), "10.0.0.2")
            one.restart()
            self.assertFalse(one.connected())
            await until(lambda: self.interface.on)

        run(with_link(one, body))
        self.assertEqual(made, [{"phy_type": "LAN8720"}])
        self.assertTrue("10.0.0.2" in self.log.lines[0])

    def test_ethernet_that_cannot_be_made_does_not_end_the_task(self):
        def make(arguments):
            raise AttributeError("no PHY_X")

        one = EthernetLink({}, self.log, make)
        one.restart()

        async def body():
            await until(lambda: any("PHY_X" in line for line in self.log.lines))

        run(with_link(one, body))
        self.assertFalse(one.connected())


if __name__ == "__main__":
    unittest.main()
