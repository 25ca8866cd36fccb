"""Tests a board's clock: it begins with the firmware, NTP sets it, and a power cut leaves it."""

import pytest
from waiting import wait_until

import mqwire
from mqhost.errors import BoardError
from mqhost.link.connection import Subscription

BOOT = 30.0  # seconds a board may take to be there on a slow, noisy machine
IN_2033 = 2_000_000_000  # Unix time

# Asks nobody: what an NTP server answers is told by tests of test_tls_board.py.
TELL = f"""if True:
    from mqboard import seldom
    from mqboard.net import sntp
    seldom.MODULES = ()  # it stays, as it is changed here
    async def ask(server, dns):
        print(server)
        return {IN_2033}
    sntp.ask = ask
    board.clock.due_in = 0
"""


KEPT = """(lambda record, esp32: record.kept_number(record.Store(esp32.NVS("mqboard")), "time"))(
    __import__("mqboard.health.bootrecord", None, None, ("Store",)), __import__("esp32"))"""


def clock_of(board):
    with board.session() as session:
        return session.request_json("info")["clock"]


def test_the_clock_is_set_by_ntp_without_tls_and_known_after_a_power_cut(make_board):
    board = make_board(ntp="127.0.0.1")  # where no NTP server is, which holds up nothing
    built = board.wait_online()["built"]
    board.device.wait_console("clock: no time from 127.0.0.1", BOOT)
    first = clock_of(board)
    assert (first["trusted"], first["source"]) == (False, "build time")
    assert built <= first["time"] < built + 100
    wait_until(lambda: 0 < int(board.eval("board.clock.due_in")) <= 60, BOOT)
    assert board.eval("board.clock.pause") == "60"

    lines = []
    with board.session() as session:
        route = {mqwire.log_topic(board.prefix): lambda payload, _: lines.append(payload.decode())}
        session.connection.subscribe(Subscription(route))
        session.request("eval", TELL.encode())
        wait_until(lambda: "clock: set by" in "".join(lines), BOOT, lambda: lines)
    asked, was_set = lines[-2:]  # what it said before may still have been on its way
    assert asked == "127.0.0.1"
    assert was_set.startswith("I 2033-05-18T03:33:2") and " clock: set by 127.0.0.1: " in was_set
    told = clock_of(board)
    assert (told["trusted"], told["source"]) == (True, "ntp")
    wait_until(lambda: board.eval("board.clock.busy") == "False", BOOT)
    assert abs(int(board.eval(KEPT)) - built) < 100  # no connection was made by it yet
    board.device.wifi(False)
    board.device.wait_console("no broker", BOOT)
    board.device.wifi(True)
    wait_until(lambda: int(board.eval("board.client.connects")) == 2, BOOT)
    board.eval("board.clock.due_in = 0")
    wait_until(lambda: int(board.eval(KEPT)) >= IN_2033, BOOT)

    board.device.power_off()
    board.device.power_on()
    board.device.wait_boots(2, BOOT)
    board.device.wait_console("(PWRON)", BOOT, board.device.console.find("set by 127"))
    with board.session() as session:
        board.wait_status(session, lambda status: True)
    again = clock_of(board)
    assert (again["trusted"], again["source"]) == (False, "last known")
    assert IN_2033 <= again["time"] < IN_2033 + 100

    code, out, _ = board.mqboard("clock", "--set")
    assert code == 0 and "trusted (operator), the same as here" in out
    with (
        board.session() as session,
        pytest.raises(BoardError, match="this firmware was made after that"),
    ):
        session.request("clock", b"1600000000")
