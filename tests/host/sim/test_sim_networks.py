"""Tests the simulated Ethernet and modem, and which network carries what."""

import pytest
from waiting import wait_until

from mqhost.sim import networks
from mqhost.sim.modem import Modem
from mqhost.sim.networks import Ethernet, Networks
from mqhost.sim.radio import Radio


def told(modem, command):
    """Send a command; return the lines of the answer."""
    modem.write(command.encode() + b"\r")
    return modem.read().decode().split()


@pytest.fixture
def modem():
    modem = Modem()
    told(modem, "ATE0")
    return modem


@pytest.mark.parametrize(
    ("changes", "static", "status"),
    [
        ({}, False, networks.GOT_IP),
        ({"cable": False}, False, networks.DISCONNECTED),
        ({"dhcp": False}, False, networks.CONNECTED),
        ({"dhcp": False}, True, networks.GOT_IP),
        ({"cable": False}, True, networks.DISCONNECTED),
    ],
)
def test_ethernet_wants_a_cable_and_an_address(changes, static, status):
    ethernet = Ethernet()
    assert ethernet.status == 0
    ethernet.change(**changes)
    ethernet.set_active(True, static)
    wait_until(lambda: ethernet.status != networks.STARTED)
    assert ethernet.status == status
    ethernet.set_active(False)
    assert ethernet.status == networks.STOPPED


def test_a_connection_goes_over_wifi_then_ethernet_then_the_modem(modem):
    all_of_them = Networks(Radio({"net": ""}))
    all_of_them.modem = modem
    assert not all_of_them.open()
    told(modem, "ATD*99#")
    modem.start_ppp()
    wait_until(all_of_them.open)
    assert all_of_them.carrier == "modem"
    all_of_them.ethernet.set_active(True)
    wait_until(lambda: all_of_them.open() and all_of_them.carrier == "ethernet")
    all_of_them.radio.set_active(True)
    all_of_them.radio.connect(("net", ""))
    wait_until(lambda: all_of_them.open() and all_of_them.carrier == "wifi")
    all_of_them.reset()
    assert not all_of_them.open()
    assert all_of_them.carrier == ""


@pytest.mark.parametrize(
    ("changes", "command", "answer"),
    [
        ({}, "AT+CPIN?", ["+CPIN:", "READY", "OK"]),
        ({"sim": "none"}, "AT+CPIN?", ["+CME", "ERROR:", "10"]),
        ({"sim": "1234"}, "AT+CPIN?", ["+CPIN:", "SIM", "PIN", "OK"]),
        ({}, "AT+CREG?", ["+CREG:", "0,1", "OK"]),
        ({"registered": False}, "AT+CREG?", ["+CREG:", "0,2", "OK"]),
        ({"sim": "none"}, "AT+CREG?", ["+CREG:", "0,2", "OK"]),
        ({}, "AT+CSQ", ["+CSQ:", "21,99", "OK"]),
        ({}, "ATD*99#", ["CONNECT", "115200"]),
        ({"data": False}, "ATD*99#", ["NO", "CARRIER"]),
        ({}, "AT+NONSENSE", ["ERROR"]),
        ({"silent": True}, "AT", []),
    ],
)
def test_the_modem_answers_as_one_does(modem, changes, command, answer):
    modem.change(**changes)
    assert told(modem, command) == answer


def test_three_wrong_pins_lock_the_card(modem):
    modem.change(sim="1234")
    for _ in range(3):
        assert told(modem, 'AT+CPIN="1111"') == ["+CME", "ERROR:", "16"]
    assert told(modem, "AT+CPIN?") == ["+CPIN:", "SIM", "PUK", "OK"]
    assert told(modem, 'AT+CPIN="1234"') == ["+CME", "ERROR:", "16"]


def test_a_connection_outlives_the_board_and_no_outage(modem):
    told(modem, "ATD*99#")
    modem.start_ppp()
    wait_until(lambda: modem.connected)
    modem.hang_up()  # the board resets
    assert told(modem, "AT") == []
    modem.write(b"+++")
    assert modem.read() == b"\r\nOK\r\n"
    told(modem, "ATD*99#")
    modem.start_ppp()
    wait_until(lambda: modem.connected)
    modem.change(data=False)
    assert not modem.connected
    assert modem.read() == b"\r\nNO CARRIER\r\n"
