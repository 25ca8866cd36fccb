"""Tests outages on a real board: modules go on, other networks and brokers are turned to."""

import json

import pytest

from mqhost.link.session import Session
from mqhost.sim.broker import Broker
from mqhost.sim.device import AccessPoint

# Counts while it waits for changes, and remembers what the count was at each.
MODULE = b"""
import asyncio
count = 0
seen = []
async def start(board, settings):
    global count
    asyncio.create_task(watch(board))
    while True:
        count += 1
        await asyncio.sleep_ms(20)
async def watch(board):
    state = None
    while True:
        state = await board.reach.changed(state)
        seen.append((state, count))
        print("now", state)
"""
STATE = "import witness, json; print(json.dumps((witness.count, witness.seen)))"


# Has the board look at once, and every moment, whether its first broker is there again.
LOOK = b"""if True:
    import asyncio
    from mqboard.net import fallback
    class Turns:
        sleep = staticmethod(lambda seconds: asyncio.sleep(0.1))
    fallback.asyncio = Turns
    (entry,) = [each for each in board.supervisor._entries if each.name == "brokers"]
    entry.task.cancel()
    board.supervisor.add("quick", entry.start, vital=False)
"""


@pytest.fixture
def broker():
    """Give a broker of the test's own: others do not miss it."""
    with Broker() as running:
        yield running


def test_modules_go_on_while_broker_and_networks_come_and_go(make_board, broker):
    near, far = AccessPoint("12345678", -40), AccessPoint("12345678", -70, dhcp=False)
    shut = AccessPoint("another one", -30)
    board = make_board(
        access_points={"far": far, "near": near, "shut": shut},
        networks=[
            {"ssid": "far", "password": "12345678", "static": {"address": "10.0.0.5"}},
            {"ssid": "shut", "password": "12345678"},
            {"ssid": "near", "password": "12345678"},
        ],
        modules={"witness": {}},
        files={"/witness.py": MODULE},
        hostname="shed-3",
        country="DE",
    )
    device = board.device
    device.wait_console("network shut does not let us in: wrong password", 20)
    device.wait_console("on network near as 127.0.0.1, -40 dBm", 20)
    board.wait_online()
    known = board.eval("[(n.hostname(), n.country()) for n in (__import__('network'),)]")
    assert known == "[('shed-3', 'DE')]"
    since = device.wait_console("now connected")
    broker.stop()
    since = device.wait_console("now no broker", since=since)
    broker.start()
    since = device.wait_console("now connected", since=since)
    device.wifi(False)
    device.wait_console("now no network", since=since)
    device.wifi(True, "far")
    device.wait_console("on network far as 10.0.0.5, -70 dBm", 20, since)
    board.wait_online()
    count, seen = json.loads(board.eval(STATE))
    counts = [at for _, at in seen]
    assert counts == sorted(set(counts)) and count > counts[-1]
    assert {state for state, _ in seen} == {"connected", "no broker", "no network"}
    assert board.eval("board.blackbox.unhealthy, board.identity.mode") == "(0, 'normal')"
    assert len(device.boots) == 1


# Has the broker forget what the board listens to, as a cluster does when a node of it dies.
DEAF = b"""if True:
    import asyncio
    async def be_deaf():
        client = board.client
        for topic_filter in list(client._subscriptions):
            await client._unsubscribe(topic_filter)
        print("deaf")
        while not await board.reach.prove():
            pass
        print("heard again")
    asyncio.create_task(be_deaf())
"""


def test_a_broker_that_forgets_what_a_board_listens_to_is_told_again(make_board):
    board = make_board()
    board.wait_settled()
    with board.session() as session:
        session.request("eval", DEAF)
    since = board.device.wait_console("deaf")
    since = board.device.wait_console("our own command topic does not reach us", 30, since)
    board.device.wait_console("heard again", 30, since)
    assert board.eval("board.client.connects") == "1"
    assert len(board.device.boots) == 1


def test_without_its_broker_a_board_is_met_at_the_other_one(make_board, broker):
    with Broker() as other:
        board = make_board(fallback=other)
        board.wait_online()
        broker.stop()
        with Session(board.settings(port=other.port)) as session:
            board.wait_status(session, lambda status: True)
            assert session.request("eval", b"board.reach.state").data == b"'connected'"
            board.device.wait_console(f"using the fall-back broker {other.host}")
            broker.start()
            session.request("eval", LOOK)
            left = session.wait_status(lambda status: status["state"] == "offline", 20)
            assert left["reason"] == "back to its first broker"
        board.wait_online()
    assert len(board.device.boots) == 1
