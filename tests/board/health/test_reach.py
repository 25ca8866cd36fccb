"""Tests what becomes of an outage: first the network begins anew, then the board."""

import asyncio
import unittest

from fakes import FakeLog, run

from mqboard.health import reach


class FakeLink:
    """A link, up or not; counts how often it was begun anew."""

    def __init__(self):
        self.up = True
        self.restarts = 0

    def connected(self):
        return self.up

    def restart(self):
        self.restarts += 1


class FakeClient:
    """A client, connected or not."""

    def __init__(self):
        self.up = asyncio.Event()
        self.connect()

    def connect(self):
        self.connected = True
        self.connects = 1
        self.up.set()

    def lose(self):
        self.connected = False
        self.up.clear()


class FakeConfig:
    """The times of a configuration."""

    network_s = 600
    unreachable_s = 3600


class FakePower:
    """The sleep of a board, in a wake that takes commands or in a quiet one."""

    quiet = False


class FakeBoard:
    """As much of a board as is looked at."""

    power = None

    def __init__(self):
        self.config = FakeConfig()
        self.link = FakeLink()
        self.client = FakeClient()
        self.log = FakeLog()


class ReachTest(unittest.TestCase):
    def setUp(self):
        self.now = 0
        self.real_ticks = reach.ticks_ms
        self.begin()

    def tearDown(self):
        reach.ticks_ms = self.real_ticks

    def begin(self):
        reach.ticks_ms = lambda: self.now
        board = FakeBoard()
        self.link, self.client, self.log = board.link, board.client, board.log
        self.config = board.config
        self.board = board
        self.reach = reach.Reach(board)

    def pass_time(self, seconds):
        """Let time pass, turn by turn; return (seconds, why) of the first turn with a reset."""
        for second in range(1, seconds + 1):
            self.now += 1000
            why = self.reach.turn()
            if why:
                return second, why
        return None

    def test_a_quiet_wake_needs_no_command_to_come_back_but_an_attended_one_does(self):
        self.board.power = FakePower()
        self.board.power.quiet = True
        self.assertEqual(self.pass_time(4000), None)
        self.client.lose()
        self.assertEqual(self.pass_time(599), None)
        self.client.connect()
        self.board.power.quiet = False
        self.assertEqual(self.pass_time(1000)[0], 301)

    def test_the_network_is_begun_anew_after_its_time_and_the_board_much_later(self):
        self.client.lose()
        self.assertEqual(self.pass_time(599), None)
        self.assertEqual(self.link.restarts, 0)
        self.assertEqual(self.pass_time(1), None)
        self.assertEqual(self.link.restarts, 1)
        self.assertEqual(self.pass_time(3000), None)
        self.assertEqual(self.link.restarts, 6)
        self.assertEqual(self.pass_time(10), (1, "unreachable for 3601 s"))
        self.assertEqual(self.link.restarts, 6)
        self.assertEqual(len(self.log.lines), 6)

    def test_a_network_that_is_not_there_is_looked_for_anyway_and_not_restarted(self):
        self.client.lose()
        self.link.up = False
        self.assertEqual(self.pass_time(1000), None)
        self.link.up = True
        self.assertEqual(self.pass_time(199), None)
        self.assertEqual(self.link.restarts, 0)
        self.assertEqual(self.pass_time(1), None)
        self.assertEqual(self.link.restarts, 1)
        self.link.up = False
        self.assertEqual(self.pass_time(3000), (2401, "unreachable for 3601 s"))

    def test_a_command_that_came_back_begins_the_time_anew(self):
        for _ in range(5):
            self.client.lose()
            self.assertEqual(self.pass_time(3600), None)
            self.client.connect()
            self.assertEqual(self.pass_time(1), None)
            self.reach.heard()
        self.assertEqual(self.link.restarts, 30)

    def test_a_connection_without_our_commands_ends_sooner(self):
        self.assertEqual(self.pass_time(1000), (301, "unreachable for 301 s"))
        self.assertEqual(self.link.restarts, 0)

    def test_a_connection_after_an_outage_has_its_time(self):
        self.client.lose()
        self.pass_time(3600)
        self.client.connect()
        self.assertEqual(self.pass_time(300), None)

    def test_connections_in_which_nothing_comes_back_end_as_an_outage_does(self):
        for _ in range(36):
            self.client.connect()
            self.assertEqual(self.pass_time(99), None)
            self.client.lose()
            self.assertEqual(self.pass_time(1), None)
        self.assertEqual(self.link.restarts, 6)
        self.assertEqual(self.pass_time(10), (1, "unreachable for 3601 s"))

    def stand_still(self, seconds):
        """Let time pass in one turn, which something keeps from ending."""
        self.now += seconds * 1000
        return self.reach.turn()

    def test_in_a_connection_time_in_which_the_board_stood_still_is_no_silence(self):
        for _ in range(100):
            self.assertEqual(self.stand_still(50), None)  # as long as the watchdog allows
        self.client.lose()
        self.assertEqual(self.pass_time(399), None)
        self.assertEqual(self.link.restarts, 0)

    def test_without_one_it_counts_whoever_waits_for_the_network_in_vain(self):
        self.client.lose()
        for turns in range(1, 73):
            self.assertEqual(self.stand_still(50), None)
            self.assertEqual(self.link.restarts, turns // 12)
        self.assertEqual(self.stand_still(50), "unreachable for 3650 s")

    def test_to_stand_still_once_for_very_long_is_no_outage_of_that_time(self):
        self.client.lose()
        self.assertEqual(self.stand_still(5000), None)
        self.assertEqual(self.pass_time(539), None)
        self.assertEqual(self.link.restarts, 0)
        self.assertEqual(self.pass_time(1), None)
        self.assertEqual(self.link.restarts, 1)

    def test_times_that_are_too_short_to_connect_in_do_not_cut_the_board_off(self):
        self.config.network_s, self.config.unreachable_s = 1e-40, 0.5
        self.client.lose()
        self.client.connects = 0
        self.assertEqual(self.pass_time(300), None)  # a boot may take that long to connect
        self.assertEqual(self.link.restarts, 6)
        self.assertEqual(self.pass_time(1), (1, "unreachable for 301 s"))
        self.client.connects = 1
        self.reach.heard()
        self.assertEqual(self.pass_time(1), (1, "unreachable for 1 s"))

    def test_the_state_is_said_in_words(self):
        self.assertEqual(self.reach.state, "connected")
        self.client.lose()
        self.assertEqual(self.reach.state, "no broker")
        self.link.up = False
        self.assertEqual(self.reach.state, "no network")

    def test_a_module_can_wait_for_changes(self):
        heard = []

        async def module():
            state = None
            while True:
                state = await self.reach.changed(state)
                heard.append(state)

        async def body():
            task = asyncio.create_task(module())
            await asyncio.sleep(0)
            self.client.lose()
            # What it is by now is told at once to whoever knows something else.
            self.assertEqual(await self.reach.changed("connected"), "no broker")
            self.assertEqual(await self.reach.changed("no network"), "no broker")
            while not heard:
                await asyncio.sleep(0.01)
            self.link.up = False
            while len(heard) < 2:
                await asyncio.sleep(0.01)
            task.cancel()

        run(body())
        self.assertEqual(heard, ["no broker", "no network"])


if __name__ == "__main__":
    unittest.main()
