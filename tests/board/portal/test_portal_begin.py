"""Tests when the setup network opens, and what it leaves behind when it cannot."""

import asyncio
import unittest

from fakes import FakeLog, run, until

from mqboard.portal import begin, portal

SETUP = {"password": "apple-river-42", "window_s": 600, "after_s": 5, "pin": None}


class FakeAccessPoint:
    """A network.WLAN of kind AP."""

    def __init__(self):
        self.on = False
        self.settings = {}

    def active(self, on):
        self.on = on

    def config(self, **settings):
        self.settings = settings

    def ifconfig(self):
        return ("192.168.4.1", "255.255.255.0", "192.168.4.1", "0.0.0.0")


class FakeWriter:
    """A connection from `peer`."""

    def __init__(self, peer):
        self.peer = peer
        self.sent = b""
        self.closed = False

    def get_extra_info(self, name):
        return {"peername": self.peer}[name]

    def write(self, data):
        self.sent += data

    async def drain(self):
        pass

    def close(self):
        self.closed = True

    async def wait_closed(self):
        self.closed = True


class FakeReader:
    """A stream of one request."""

    def __init__(self, data):
        self.data = data

    async def read(self, size):
        data, self.data = self.data, b""
        return data


class PortalTest(unittest.TestCase):
    def setUp(self):
        self.interface = FakeAccessPoint()
        self.log = FakeLog()
        self.taken = []
        self.one = portal.Portal(
            self.interface, "mqboard-1", SETUP, {}, self.take, self.log, "it failed"
        )
        self.real = asyncio.start_server

    def tearDown(self):
        asyncio.start_server = self.real

    def take(self, text):
        self.taken.append(text)
        return 300

    def test_without_a_server_the_access_point_does_not_stay(self):
        async def refuse(*arguments):
            self.assertTrue(self.interface.on)
            raise OSError(112)

        asyncio.start_server = refuse
        with self.assertRaises(OSError):
            run(self.one.run(lambda: None))
        self.assertFalse(self.interface.on)

    def test_when_its_time_is_over_it_closes_by_itself(self):
        opened = []

        class Server:
            def close(self):
                opened.append("closed")

        async def start(*arguments):
            opened.append(self.interface.on)
            return Server()

        async def serve(*arguments):
            await asyncio.sleep(1000)

        asyncio.start_server = start
        real, portal.names.serve = portal.names.serve, serve
        try:
            self.one._setup = dict(SETUP, window_s=0.3)
            run(self.one.run(lambda: None))
        finally:
            portal.names.serve = real
        self.assertEqual(opened, [True, "closed"])
        self.assertFalse(self.interface.on or self.one.taken)

    def test_without_a_password_it_never_opens(self):
        for key in ("", "7 chars"):
            self.one._setup = dict(SETUP, password=key)
            with self.assertRaises(ValueError):
                run(self.one.run(lambda: None))
            self.assertEqual(self.interface.settings, {})

    def test_a_form_from_another_network_is_not_even_answered(self):
        body = b"ssid=evil&wifi=12345678&host=evil&prefix=a"
        request = (
            b"POST / HTTP/1.1\r\nHost: 192.168.4.1\r\nContent-Length: %d\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" % len(body)
        ) + body
        for peer, answer, taken in ((("10.0.0.7", 1), b"", 0), (("192.168.4.2", 1), b"200", 1)):
            writer = FakeWriter(peer)
            run(self.one._serve(FakeReader(request), writer))
            self.assertEqual((writer.sent[9:12], len(self.taken)), (answer, taken))
            self.assertTrue(writer.closed)


class FakeMachine:
    """What is used of `machine`, on a chip that has a pin 4 alone."""

    PWRON_RESET = 1
    HARD_RESET = 2

    class Pin:
        IN = PULL_UP = 0
        low = False

        def __init__(self, pin, mode, pull):
            if pin != 4:
                raise ValueError("invalid pin")

        def value(self):
            return 0 if FakeMachine.Pin.low else 1

    def reset_cause(self):
        return FakeMachine.PWRON_RESET


class FakePower:
    """The power.Power of a board that was out of reach for `apart_ms` before it woke."""

    def __init__(self, apart_ms, opened):
        self.apart_ms = apart_ms
        self.opened = opened


class FakeBoard:
    """A board without a broker for `silent_ms`."""

    def __init__(self, setup, silent_ms, connected, power=None):
        self.power = power
        self.config = self.client = self.reach = self.identity = self
        self.setup = setup
        self.silent_ms = silent_ms
        self.online = connected
        self.slot_state = "confirmed"
        self.looks = self.asked = 0

    @property
    def connected(self):
        self.looks += 1
        return self.online

    def trying(self):
        return False

    def busy(self):
        self.asked += 1
        return True  # so that nothing opens


class BeginTest(unittest.TestCase):
    def setUp(self):
        names = ("machine", "NVS", "Store", "Logger", "_make", "_read")
        self.real = [(name, getattr(begin, name)) for name in names]
        self.log = FakeLog()
        begin.machine = FakeMachine()
        begin.NVS = begin.Store = lambda *arguments: self
        begin.Logger = lambda name: self.log
        FakeMachine.Pin.low = False

    def tearDown(self):
        for name, value in self.real:
            setattr(begin, name, value)

    def get(self, *arguments):
        """Be an empty store."""
        return None

    def test_what_fails_first_leads_to_the_prompt(self):
        def fail(*arguments):
            raise OSError("Wifi Out of Memory")

        def exhausted():
            raise MemoryError

        begin._make = fail
        for begin._read in (lambda: {"setup": {"password": "apple-river-42"}}, exhausted):
            self.log.lines.clear()
            begin.unprovisioned()
            self.assertEqual(self.log.lines[0], "there is no setup network")

    def test_a_pin_that_the_chip_lacks_is_told_and_not_pressed(self):
        for pin, low, pressed, lines in (
            (None, True, False, 0),
            (4, True, True, 0),
            (4, False, False, 0),
            (99, True, False, 1),
        ):
            self.log.lines.clear()
            FakeMachine.Pin.low = low
            self.assertEqual(begin._pressed(pin), pressed)
            self.assertEqual(len(self.log.lines), lines)

    def test_without_a_broker_it_is_wanted_and_with_a_mute_one_it_is_not(self):
        for connected in (True, False):
            board = FakeBoard(dict(SETUP, pin=99), 6000, connected)

            async def watch(board=board):
                task = asyncio.create_task(begin.watch(board))
                await until(lambda: board.looks)  # what follows of it comes in the same turn
                task.cancel()

            run(watch())
            self.assertEqual(board.asked > 0, not connected)

    def test_on_a_board_that_sleeps_the_time_goes_on_meanwhile_and_it_opens_once(self):
        for apart_ms, opened, wanted in (
            (3000, False, False),
            (4000, False, True),
            (4000, True, False),
        ):
            board = FakeBoard(SETUP, 1000, False, FakePower(apart_ms, opened))

            async def watch(board=board):
                task = asyncio.create_task(begin.watch(board))
                await until(lambda: board.looks)
                task.cancel()

            run(watch())
            self.assertEqual(board.asked > 0, wanted)


if __name__ == "__main__":
    unittest.main()
