"""Tests what goes on over a sleep: the clock and its pauses, the channel, the address."""

import unittest

from mqboard.power import lasting

NOW = 1_800_000_000
NETWORK = {"ssid": "one", "static": None}
ADDRESS = ("10.0.0.2", "255.255.255.0", "10.0.0.1", "10.0.0.1")


class FakeClock:
    def __init__(self, now=NOW, trusted=False, due_in=0, pause=0, busy=False):
        self.source = "ntp"
        self.trusted = trusted
        self.due_in = due_in
        self.pause = pause
        self.busy = busy
        self.time = now

    def now(self):
        return self.time


class FakeInterface:
    def config(self, name):
        return {"channel": 11}[name]

    def ifconfig(self):
        return ADDRESS


class FakeLink:
    interface = FakeInterface()

    def __init__(self, online=True):
        self.online = online
        self.joined = NETWORK if online else None

    def connected(self):
        return self.online


class FakeBoard:
    def __init__(self, clock, link=None):
        self.clock = clock
        self.link = link or FakeLink()


def kept_of(board, proper=True):
    kept = {}
    lasting.keep(board, kept, proper)
    return kept


class LastingTest(unittest.TestCase):
    def wake(self, kept, later=600):
        """Return a board that wakes `later` seconds with what was kept."""
        board = FakeBoard(FakeClock(NOW + later), FakeLink(False))
        lasting.take_up(board, kept)
        return board

    def test_the_time_is_asked_for_when_that_is_due_and_not_at_each_wake(self):
        for trusted, due_in, pause, left in (
            (True, 7000, 0, 6400),
            (False, 7200, 7200, 6600),  # no server answers
            (True, 300, 120, 0),
        ):
            clock = FakeClock(trusted=trusted, due_in=due_in, pause=pause)
            woken = self.wake(kept_of(FakeBoard(clock))).clock
            self.assertEqual((woken.trusted, woken.due_in), (trusted, left))
            self.assertEqual((woken.pause, woken.pause_max), (pause, 6 * 3600))

    def test_an_answer_that_a_sleep_cuts_off_is_asked_for_again(self):
        kept = kept_of(FakeBoard(FakeClock(due_in=6 * 3600, busy=True)))
        self.assertEqual(self.wake(kept).clock.due_in, 0)

    def test_a_clock_that_went_wrong_delays_nothing_for_ever(self):
        kept = kept_of(FakeBoard(FakeClock(due_in=100)))
        self.assertEqual(self.wake(kept, -10 * 86400).clock.due_in, 6 * 3600)

    def test_address_and_channel_are_those_of_the_network_that_it_was_on(self):
        woken = self.wake(kept_of(FakeBoard(FakeClock()))).link
        self.assertEqual((woken.lease, woken.aim), ((("one",) + ADDRESS, NOW), ["one", 11, 0]))
        woken = self.wake(kept_of(FakeBoard(FakeClock())), 3600).link
        self.assertFalse(hasattr(woken, "lease"))
        woken = self.wake(kept_of(FakeBoard(FakeClock()), proper=False)).link
        self.assertFalse(hasattr(woken, "lease"))

    def test_a_channel_on_which_a_wake_found_nothing_is_counted_and_not_tried_again(self):
        board = FakeBoard(FakeClock(), FakeLink(False))
        board.link.aim = ["one", 0, 1]  # as mqboard.net.wifi leaves it
        woken = self.wake(kept_of(board, proper=False))
        self.assertEqual(woken.link.aim, ["one", 0, 1])
        woken.link.online, woken.link.joined = True, NETWORK
        self.assertEqual(kept_of(woken)["aim"], ["one", 11, 1])


if __name__ == "__main__":
    unittest.main()
