"""Tests the links: Wi-Fi over several access points, Ethernet, and networks that others keep up."""

import asyncio
import unittest

from fakes import FakeLog, run, until

from mqboard.net import ethernet, wifi
from mqboard.net.link import Link

HOME = {"address": "10.0.0.5", "netmask": "255.255.255.0", "gateway": "10.0.0.1", "dns": None}


def known(ssid, password, static=None):
    """Return a network as the configuration has it."""
    return {"ssid": ssid, "password": password, "static": static}


WIFI = [known("one", "1"), known("two", "2")]


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
        self.refused = self.deaf = None  # channels: not taken, and taken but without an answer
        self.signals = []  # what a scan finds: (SSID, dBm)

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

    def ifconfig(self, settings=None):
        if settings:
            self.calls.append(settings)
        return ("10.0.0.2", "", "", self.server)

    def ipconfig(self, **settings):
        self.calls.append(settings)

    def scan(self):
        self.calls.append("scan")
        return [(ssid.encode(), b"", 1, rssi, 3, False) for ssid, rssi in self.signals]

    def status(self, what=None):
        if what == "rssi" and not self.up and self.state != 1001:
            raise OSError("Wifi Not Connected")
        return -50 if what else self.state

    def disconnect(self):
        self.up = False

    def config(self, channel):
        self.calls.append(channel)
        if channel == self.refused:
            raise OSError("Wifi Internal State Error")

    def connect(self, ssid=None, password=None):
        if ssid is not None:
            self.calls.append(ssid)
            self.last = ssid, password
        ssid, password = self.last
        aimed = self.calls[-1] == self.deaf
        self.up = self.on and self.reachable.get(ssid) == password and not aimed


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
        self.now = 0
        self.real = wifi.ticks_ms, ethernet.make_lan

    def tearDown(self):
        wifi.ticks_ms, ethernet.make_lan = self.real

    def hurry(self):
        """Have six seconds pass for the link whenever it looks at the clock."""

        def ticks_ms():
            self.now += 6000
            return self.now

        wifi.ticks_ms = ticks_ms

    def make(self, networks=WIFI):
        """Return a link that does not run, and what tries its networks."""
        one = Link(self.interface, "wifi", networks, self.log)
        return one, wifi.Joining(one)

    def wired(self, arguments, make=None):
        """Return an Ethernet link; its interface is ours, or what `make(arguments)` gives."""
        ethernet.make_lan = make or (lambda arguments: self.interface)
        return Link(None, "ethernet", arguments, self.log)

    def go_round(self, one):
        """Try each network once; return whether one took us."""
        one.joined = run(wifi.Joining(one).go_round())
        return one.joined is not None

    def tried(self):
        return [call for call in self.interface.calls if call in ("one", "two", "three", "four")]

    def test_what_the_network_says_is_known_with_it(self):
        one, _ = self.make()
        for up, server, seen in (
            (False, "10.0.0.1", ("", "")),
            (True, "10.0.0.1", ("10.0.0.2", "10.0.0.1")),
            (True, "0.0.0.0", ("10.0.0.2", "")),
        ):
            self.interface.up = up
            self.interface.server = server
            self.assertEqual((one.address(), one.dns()), seen)

    def test_what_goes_wrong_with_joining_ends_no_task(self):
        one, _ = self.make(None)
        run(with_link(one, lambda: until(lambda: self.log.lines)))
        self.assertTrue("TypeError" in self.log.lines[0])

    def test_a_station_connects_and_again_when_the_network_was_gone(self):
        self.interface.reachable = {"one": "1"}
        one = self.make()[0]

        async def body():
            await until(one.connected)
            self.interface.up = False
            await until(one.connected)
            self.assertEqual(self.interface.calls.count("one"), 2)
            self.assertEqual(self.interface.calls.count("two"), 0)
            self.assertTrue("network lost" in self.log.lines)

        run(with_link(one, body))

    def test_a_restart_begins_with_the_radio(self):
        self.interface.reachable = {"one": "1"}
        one = self.make(WIFI[:1])[0]

        async def body():
            await until(one.connected)
            one.restart()
            self.assertFalse(one.connected())
            self.assertFalse(self.interface.on)
            await until(one.connected)

        run(with_link(one, body))

    def test_a_radio_that_fails_is_logged_and_the_next_network_tried(self):
        self.hurry()
        one = self.make()[0]
        self.interface.fail = OSError("Wifi Internal State Error")

        async def body():
            await until(lambda: self.log.lines)
            self.interface.fail = None
            self.interface.reachable = {"two": "2"}
            await until(one.connected)

        run(with_link(one, body))
        self.assertTrue("not found" in "".join(self.log.lines))

    def test_a_network_without_ipv4_is_told_from_one_that_is_not_there(self):
        _, tries = self.make()
        self.assertEqual(tries._reason(), "not found")
        self.interface.state = 1001
        self.assertTrue("no IPv4 address" in tries._reason())

    def test_the_strongest_is_tried_first_and_those_not_seen_at_last(self):
        networks = [known(ssid, "") for ssid in ("one", "two", "three", "four")]
        _, tries = self.make(networks)
        self.interface.signals = [("four", -80), ("two", -60), ("four", -30), ("", -10), ("x", 0)]
        order = [network["ssid"] for network in tries.in_order()]
        self.assertEqual(order, ["four", "two", "one", "three"])

    def test_one_network_alone_needs_no_scan(self):
        _, tries = self.make(WIFI[:1])
        self.assertEqual(tries.in_order(), WIFI[:1])
        self.assertEqual(self.interface.calls, [])

    def test_without_a_scan_there_is_the_order_of_the_configuration(self):
        _, tries = self.make()
        for error in (MemoryError(), RuntimeError("Wifi Unknown Error 0x3007")):
            self.interface.fail = error
            self.assertEqual(tries.in_order(), WIFI)
            self.assertTrue("no scan" in self.log.lines.pop())

    def test_a_network_that_refuses_does_not_keep_the_others_from_their_turn(self):
        one = self.make()[0]
        self.interface.signals = [("one", -40), ("two", -80)]
        for state, why in (
            (202, "wrong password"),
            (201, "not found"),
            (211, "security"),
            (15, "status 15"),
            (1001, "no IPv4 address"),
        ):
            self.hurry()
            self.interface.state = state
            self.interface.reachable = {"two": "2"}
            self.interface.calls.clear()
            self.interface.up = False
            self.assertTrue(self.go_round(one))
            self.assertEqual(self.tried(), ["one", "two"])
            self.assertTrue(why in self.log.lines[-2], self.log.lines)
            self.assertTrue("on network two as 10.0.0.2, -50 dBm" in self.log.lines[-1])

    def test_who_said_no_has_less_time_while_others_wait(self):
        self.hurry()
        for networks, state, looks in ((WIFI, 202, 2), (WIFI[:1], 202, 4), (WIFI, 1001, 4)):
            self.now = 0
            self.interface.state = state
            _, tries = self.make(networks)
            self.assertTrue(run(tries.attempt(networks[0])))
            self.assertEqual(self.now, 6000 * looks)

    def test_a_network_over_which_nothing_gets_through_is_tried_after_the_others(self):
        self.interface.reachable = {"one": "1", "two": "2"}
        self.interface.signals = [("one", -40), ("two", -80)]
        one = self.make()[0]
        for joined in ("one", "two", "one"):
            self.assertTrue(self.go_round(one))
            self.assertEqual(self.tried()[-1], joined)
            one.restart()
            self.assertFalse(one.connected())

    def test_the_address_of_before_a_sleep_is_tried_once_whatever_goes_wrong(self):
        self.hurry()
        lease = (("one", "10.0.0.2", "255.255.255.0", "10.0.0.1", "10.0.0.1"), 1)
        for reachable, fail, kept in (
            ({"one": "1"}, None, lease),
            ({}, OSError("no DHCP client"), None),
        ):
            one, tries = self.make(WIFI[:1])
            one.lease = lease
            self.interface.reachable = reachable
            self.interface.up = False

            def ipconfig(fail=fail, **settings):
                raise fail

            self.interface.ipconfig = ipconfig
            if fail:
                with self.assertRaises(OSError):
                    run(tries.run())
            else:
                self.assertEqual(run(tries.run()), WIFI[0])
            self.assertEqual(one.lease, kept)

    def test_a_network_is_looked_for_on_its_last_channel_first(self):
        self.hurry()
        for aim, refused, deaf, tried, later in (
            (["one", 11, 1], None, None, ["one", 11], ["one", 11, 0]),
            (["one", 11, 1], 11, None, ["one", 11], ["one", 11, 0]),
            (["one", 11, 1], None, 11, ["one", 11, "one"], ["one", 0, 2]),
            (["one", 11, 3], None, None, ["one"], ["one", 11, 3]),  # here it never helps
            (["two", 11, 0], None, None, ["one"], ["two", 11, 0]),
            (None, None, None, ["one"], None),
        ):
            one, tries = self.make(WIFI[:1])
            one.aim = aim
            self.interface.reachable = {"one": "1"}
            self.interface.refused, self.interface.deaf = refused, deaf
            self.interface.up, self.interface.calls = False, []
            self.assertEqual(run(tries.run()), WIFI[0])
            calls = [call for call in self.interface.calls if call not in ("on", "off")]
            self.assertEqual(calls, tried)
            self.assertEqual(one.aim, later)

    def test_that_network_comes_before_stronger_ones_unless_nothing_gets_through(self):
        self.hurry()
        self.interface.signals = [("one", -40), ("two", -80)]
        self.interface.reachable = {"one": "1", "two": "2"}
        for deaf, shunned, tried in (
            (None, None, ["two", 6]),
            (6, None, ["two", 6, "one"]),
            (None, WIFI[1], ["scan", "one"]),
        ):
            one, tries = self.make()
            one.aim, one.shunned = ["two", 6, 0], shunned
            self.interface.deaf = deaf
            self.interface.up, self.interface.calls = False, []
            self.assertTrue(run(tries.run()))
            calls = [call for call in self.interface.calls if call not in ("on", "off")]
            self.assertEqual(calls, tried)

    def test_a_radio_that_cannot_be_aimed_joins_all_the_same(self):
        self.hurry()
        one, tries = self.make(WIFI[:1])
        one.aim = ["one", 11, 0]
        self.interface.reachable = {"one": "1"}
        connect = self.interface.connect

        def named(*network):
            if not network:
                raise OSError("Wifi Internal Error")
            connect(*network)

        self.interface.connect = named
        self.assertEqual(run(tries.run()), WIFI[0])
        self.assertEqual(one.aim, ["one", 0, 1])

    def test_an_outage_of_days_takes_few_lines(self):
        _, tries = self.make()

        async def never(network):
            return "not found"

        async def body():
            for tries._rounds in range(1, 201):
                self.assertEqual(await tries.go_round(), None)

        tries.attempt = never
        run(body())
        self.assertEqual(len(self.log.lines), 2 * 8)
        self.assertEqual(
            self.log.lines[-1], "network two does not let us in: not found (128 times)"
        )

    def test_whatever_is_wrong_with_one_network_it_is_only_told(self):
        networks = [known("one", "1", dict(HOME, address="nonsense")), WIFI[1]]
        one = self.make(networks)[0]

        def refuse(settings=None):
            if settings:
                raise ValueError("invalid arguments")
            return ("10.0.0.2", "", "", "")

        self.interface.ifconfig = refuse
        self.interface.reachable = {"two": "2"}
        self.assertTrue(self.go_round(one))
        self.assertTrue("network one does not let us in: invalid arguments" in self.log.lines)

    def test_an_address_of_its_own_is_for_its_network_only(self):
        networks = [known("one", "1", HOME), known("two", "2")]
        one = self.make(networks)[0]
        self.interface.reachable = {"one": "1", "two": "2"}
        self.go_round(one)
        mine = ("10.0.0.5", "255.255.255.0", "10.0.0.1", "10.0.0.1")
        self.assertEqual(self.interface.calls[-2:], [mine, "one"])
        one.restart()
        self.go_round(one)
        self.assertEqual(self.interface.calls[-2:], [{"dhcp4": True}, "two"])
        self.interface.calls.clear()
        self.go_round(self.make()[0])
        self.assertEqual(self.interface.calls, ["on", "scan", "on", "one"])

    def test_an_address_needs_no_name_server(self):
        static = dict(HOME, gateway="0.0.0.0")
        one = self.make([known("one", "1", static)])[0]
        self.interface.reachable = {"one": "1"}
        self.assertTrue(self.go_round(one))
        given = {"addr4": ("10.0.0.5", "255.255.255.0"), "gw4": "0.0.0.0"}
        self.assertEqual(self.interface.calls[-2:], [given, "one"])

    def test_the_signal_is_known_with_an_access_point(self):
        one = self.make()[0]
        self.assertEqual(one.rssi(), None)
        self.interface.up = True
        self.assertEqual(one.rssi(), -50)

    def test_ethernet_can_have_an_address_of_its_own(self):
        arguments = {"phy_type": "LAN8720", "static": dict(HOME, dns="10.0.0.9")}
        made = []
        one = self.wired(arguments, lambda given: made.append(given) or self.interface)

        async def body():
            await until(lambda: self.interface.on)

        run(with_link(one, body))
        mine = ("10.0.0.5", "255.255.255.0", "10.0.0.1", "10.0.0.9")
        self.assertEqual(self.interface.calls, [mine, "on"])
        self.assertEqual(made, [{"phy_type": "LAN8720"}])

    def test_ethernet_without_an_ipv4_address_is_told_once(self):
        one = self.wired({})
        waited = [0.0]
        seen = {}
        calls, lines = self.interface.calls, self.log.lines

        class Turns:
            """asyncio whose sleep takes but a moment; notes what was there after how long."""

            @staticmethod
            async def sleep(seconds):
                seen.setdefault("told" if lines else "", waited[0])
                seen.setdefault("off" if "off" in calls else "", waited[0])
                waited[0] += seconds
                await asyncio.sleep(0)

        async def body():
            await until(lambda: "off" in seen)  # it may be stuck
            self.interface.up = True
            await until(lambda: len(lines) == 2)

        ethernet.asyncio = Turns
        try:
            run(with_link(one, body))
        finally:
            ethernet.asyncio = asyncio
        self.assertEqual((seen["told"], seen["off"]), (29.5, 599.5))

    def test_ethernet_is_made_from_its_arguments_and_switched_on(self):
        made = []

        def make(arguments):
            made.append(arguments)
            return self.interface

        one = self.wired({"phy_type": "LAN8720"}, make)
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

        one = self.wired({}, make)

        async def body():
            await until(lambda: any("PHY_X" in line for line in self.log.lines))

        run(with_link(one, body))
        self.assertFalse(one.connected())


if __name__ == "__main__":
    unittest.main()
