"""Tests Ethernet, Wi-Fi and a modem on a real board: what is used, and that none locks it out."""

import json

import pytest
from waiting import wait_until

LAN = {"phy_type": "LAN8720", "phy_addr": 1, "mdc": 23, "mdio": 18, "power": 16}
MODEM = {"tx": 17, "rx": 16, "apn": "internet"}
UPDATE = {"health_s": 0.5, "confirm_s": 10}
# Goes back to the better network as soon as it is there, not after ten seconds.
EAGER = "[setattr(one, 'pause_s', 0) for one in board.link._all]"


@pytest.fixture
def at_modem(make_board):
    """Give make(**changes) -> Board with a modem at its UART; the modem goes with the test."""
    terminals = []

    def make(world=None, **changes):
        board = make_board(**{"update": UPDATE} | changes)
        terminal = board.device.networks.modem.at_terminal()
        terminals.append(terminal)
        board.device.modem(**world or {})
        board.device.connect_uart(1, terminal.__enter__())
        board.device.press_reset()
        return board

    yield make
    for terminal in terminals:
        terminal.__exit__(None, None, None)


def network(board):
    """Return the network that the board says it uses."""
    with board.session() as session:
        return json.loads(session.request("info").data).get("network")


def test_ethernet_alone_is_joined_and_again_when_the_cable_is_back(make_board):
    board = make_board(networks=[], ethernet=LAN)
    device = board.device
    since = device.wait_console("Ethernet as 127.0.0.1")
    board.wait_online()
    assert device.networks.carrier == "ethernet"
    assert network(board) is None  # there is only one
    device.ethernet(cable=False)
    since = device.wait_console("network lost", since=since)
    device.ethernet(cable=True)
    device.wait_console("Ethernet as 127.0.0.1", since=since)
    board.wait_online()
    assert len(device.boots) == 1


def test_each_network_stands_in_for_those_before_it_until_they_are_back(at_modem):
    order = {"order": ["ethernet", "wifi", "modem"], "wait_s": 5}
    update = UPDATE | {"confirm_s": 30}  # each network has its time in that
    board = at_modem(ethernet=LAN, modem=MODEM, network=order, update=update)
    device = board.device
    device.wait_boots(2)
    since = device.wait_console("the network is ethernet")
    board.wait_online()
    device.ethernet(dhcp=False)  # nobody gives it an address any more
    since = device.wait_console("the network is wifi", since=since)
    board.wait_online()
    assert (network(board), device.networks.carrier) == ("wifi", "wifi")
    device.wifi(False)
    since = device.wait_console("the network is modem", since=since)
    board.wait_online()
    assert (network(board), device.networks.carrier) == ("modem", "modem")
    board.eval(EAGER)
    said = []
    with board.session() as session:
        session.watch_status(lambda status: said.append((status or {}).get("reason")))
        with board.command("run", "-", stdin=-1) as process:  # a piece of work
            process.stdin.write("import time\nprint('begun')\ntime.sleep(2)\nprint('done')\n")
            process.stdin.close()
            assert process.stdout.readline() == "begun\n"
            device.ethernet(dhcp=True)
            assert process.stdout.readline() == "done\n"
        wait_until(lambda: "back to ethernet" in said, otherwise=lambda: str(said))
    device.wait_console("the network is ethernet", since=since)
    board.wait_online()
    assert (network(board), device.networks.carrier) == ("ethernet", "ethernet")
    # The others are switched off once the broker is reached.
    wait_until(lambda: board.eval("[one.task for one in board.link._all[1:]]") == "[None, None]")
    assert board.eval("board.link._all[1].link.interface.active()") == "False"
    assert len(device.boots) == 2


def test_a_modem_dials_and_again_when_its_connection_drops(at_modem):
    board = at_modem(networks=[], modem=MODEM | {"pin": "1234"}, world={"sim": "1234"})
    device = board.device
    since = device.wait_console("modem online as 127.0.0.1, -71 dBm", since=0)
    assert board.wait_online()["rssi"] == -71
    assert device.networks.carrier == "modem"
    device.modem(data=False)
    since = device.wait_console("network lost", since=since)
    since = device.wait_console("no connection (NO CARRIER); is the apn right?", since=since)
    device.modem(data=True)
    since = device.wait_console("modem online", since=since)
    board.wait_online()
    device.press_reset()  # the modem stays in its connection, and must be called back
    device.wait_console("modem online", since=since)
    board.wait_online()


def test_a_configuration_with_a_modem_that_fails_is_left_again(at_modem):
    board = at_modem(world={"sim": "none"})
    board.wait_settled()
    modem = json.dumps(MODEM)
    code, _, err = board.mqboard("config", "set", f"modem={modem}", "network.order=modem")
    assert code == 1, err
    assert "is back with its old configuration" in err
    assert f"did not get onto a network within {UPDATE['confirm_s']} s" in err
    assert "modem: no SIM card that it can read" in board.device.console.text()
    wait_until(lambda: board.device.networks.carrier == "wifi")


def test_a_network_that_there_is_not_is_refused(make_board):
    board = make_board()
    board.wait_online()
    code, _, err = board.mqboard("config", "set", "network.order=ethernet,wifi")
    assert code != 0
    assert "network.order names ethernet, and ethernet has nothing in it" in err
