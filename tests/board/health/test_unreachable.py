"""Tests that no outage is taken for ill health: the client goes on, and so does everybody else."""

import asyncio
import unittest

from fakes import FakeLog, black_box, run

from mqboard.health.reach import Reach
from mqboard.health.supervisor import Supervisor
from mqboard.mqtt import Client
from mqboard.net import opener
from mqboard.net.link import Link


class Untimely(OSError):
    """What mqboard.net.tls raises of a certificate that is not valid yet."""


class Network:
    """An interface that is connected or not."""

    def __init__(self, up):
        self.up = up

    def isconnected(self):
        return self.up


def failing(error):
    """Return an opener that fails so."""

    async def open_it():
        await asyncio.sleep(0.001)
        raise error

    return open_it


class Board:
    """A board in an outage, as far as mqboard.health.reach is concerned."""

    class config:
        network_s = 600
        unreachable_s = 3600

    def __init__(self, link, opens):
        self.link = link
        self.log = FakeLog()
        self.client = Client(opens, "board", log=self.log)
        self.client.backoff_ms = 1
        self.reach = Reach(self)


OUTAGES = {
    "broker": OSError(111, "ECONNREFUSED"),
    "names": OSError("DNS: no answer from 10.0.0.1 in 4 s"),
    "clock": Untimely("TLS: the certificate validity starts in the future"),
    "memory": MemoryError("memory allocation failed"),
    "radio": None,
}


class UnreachableTest(unittest.TestCase):
    def test_no_outage_makes_a_board_unhealthy_and_modules_go_on(self):
        log = FakeLog()
        fed = []
        counts = [0]
        boards = {}

        async def module():
            while True:
                counts[0] += 1
                await asyncio.sleep(0.01)

        async def body():
            supervisor = Supervisor(lambda: fed.append(None), 60_000, black_box(), log)
            for name, error in OUTAGES.items():
                link = Link(Network(error is not None), "wifi", [], log)
                board = Board(link, failing(error) if error else opener(link, "broker", 1883))
                boards[name] = board
                supervisor.add("mqtt", board.client.run)
            supervisor.add("module", module, vital=False)
            task = asyncio.create_task(supervisor.run())
            while len(fed) < 2:
                await asyncio.sleep(0.01)
            self.assertTrue(supervisor.calm_s() >= 1)
            task.cancel()

        run(body())
        self.assertTrue(counts[0] > 20, counts)
        self.assertEqual(log.lines, [])
        for name, board in boards.items():
            if name == "radio":
                # Who waits for the network does not fail meanwhile.
                self.assertEqual((board.reach.state, board.client.failures), ("no network", 0))
            else:
                self.assertEqual(board.reach.state, "no broker")
                self.assertTrue(board.client.failures > 5, name)
                self.assertTrue(str(OUTAGES[name]) in board.log.lines[0], board.log.lines)
                self.assertTrue(len(board.log.lines) < 6)


if __name__ == "__main__":
    unittest.main()
