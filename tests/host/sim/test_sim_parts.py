"""Tests the simulated board's small parts: bus, radio, console, filesystem image, MAC address."""

import re
import threading
from unittest.mock import MagicMock

import pytest
from waiting import wait_until

from mqhost.build.board import Board, find
from mqhost.errors import UsageError
from mqhost.paths import BOARDS
from mqhost.sim import radio
from mqhost.sim.bus import Op, Reply, Request
from mqhost.sim.console import Console
from mqhost.sim.device import mac_of
from mqhost.sim.filesystem import default_config, provision_flash
from mqhost.sim.radio import AccessPoint, Radio
from mqhost.testing import firmware, world

TABLE = find("sim").table
MODULES = BOARDS / "sim" / "modules"
KNOWN = ("simnet", "simpassword")


def test_bus_records_read_back():
    request = Request(Op.PROGRAM, 200, 4096, 0x10000, 0xFFFFFFFF)
    assert Request.from_bytes(request.to_bytes()) == request
    reply = Reply(-0x1102, 255, 21)
    assert Reply.from_bytes(reply.to_bytes()) == reply


def test_both_ends_of_the_bus_number_the_operations_alike():
    text = "".join(path.read_text() for path in sorted(MODULES.glob("*.py")))
    for op in Op:
        numbers = re.findall(rf"^_{op.name} = const\((\d+)\)$", text, re.MULTILINE)
        assert numbers and {int(number) for number in numbers} == {op}


def settled(station: Radio) -> int:
    """Return the status once the attempt is over."""
    wait_until(lambda: station.status != radio.CONNECTING)
    return station.status


@pytest.mark.parametrize(
    ("network", "status"),
    [
        (KNOWN, radio.GOT_IP),
        (("simnet", "wrong"), radio.AUTH_FAIL),
        (("nowhere", ""), radio.NO_AP_FOUND),
    ],
)
def test_connecting_takes_time_and_ends_as_it_must(network, status):
    station = Radio({"simnet": "simpassword"})
    station.set_active(True)
    assert station.status == radio.IDLE
    station.connect(network)
    assert station.status == radio.CONNECTING
    assert settled(station) == status
    station.disconnect()
    assert station.status == radio.IDLE


def test_the_station_comes_back_by_itself():
    station = Radio({"simnet": "simpassword"})
    station.set_active(True)
    station.connect(KNOWN)
    assert settled(station) == radio.GOT_IP
    station.change(in_reach=False)
    assert not station.connected
    assert settled(station) == radio.NO_AP_FOUND
    assert station.scan() == []
    station.change(in_reach=True)
    wait_until(lambda: station.connected)
    assert station.status == radio.GOT_IP


def test_a_scan_finds_who_is_in_reach_and_not_the_names_of_the_hidden():
    station = Radio({"one": "1", "two": AccessPoint("2", -80), "three": AccessPoint(hidden=True)})
    station.set_active(True)
    assert station.scan() == [("one", -50), ("two", -80), ("", -50)]
    station.change("one", in_reach=False)
    station.change("four", rssi=-20)
    assert station.scan() == [("two", -80), ("", -50), ("four", -20)]
    station.connect(("two", "2"))
    assert (station.scan(), station.rssi) == ([], 0)  # as long as it connects
    wait_until(lambda: station.connected)
    assert station.rssi == -80
    station.change("two", rssi=-81)
    wait_until(lambda: station.rssi == -81)


def test_a_network_that_gives_no_addresses_takes_who_has_one():
    station = Radio({"quiet": AccessPoint("12345678", dhcp=False)})
    station.set_active(True)
    station.connect(("quiet", "12345678"))
    wait_until(lambda: station.rssi)
    assert (station.connected, station.status) == (False, radio.CONNECTING)
    station.connect(("quiet", "12345678"), static=True)
    assert settled(station) == radio.GOT_IP


def test_it_looks_at_all_channels_from_the_one_on_that_it_is_told():
    station = Radio({"net": AccessPoint(channel=11), "other": ""})
    station.set_active(True)
    station.connect(("net", ""))
    assert not station.tune(11)  # now it connects
    station.disconnect()
    assert station.tune(11)
    station.connect(None)  # with a name it would forget the channel
    assert settled(station) == radio.GOT_IP and station.tune(12)
    station.connect(None)
    assert settled(station) == radio.GOT_IP and station.channel == 11
    station.connect(("other", ""))
    assert list(station.attempts) == [("net", 1), ("net", 11), ("net", 12), ("other", 1)]


def test_only_the_connection_over_the_network_that_goes_breaks():
    station = Radio({"one": "", "two": ""})
    station.set_active(True)
    station.connect(("one", ""))
    assert settled(station) == radio.GOT_IP
    station.change("two", in_reach=False)
    assert station.connected
    station.change("one", in_reach=False)
    assert not station.connected


def test_the_station_forgets_when_switched_off():
    station = Radio({"simnet": "simpassword"})
    station.set_active(True)
    station.connect(KNOWN)
    station.set_active(False)
    station.set_active(True)
    assert settled(station) == radio.IDLE


def test_the_console_finds_behind_a_position_and_stays_bounded():
    heard = []
    console = Console(threading.Condition(threading.RLock()), heard.append)
    console.feed(b"one\r\ntwo\r\none\r\n")
    first = console.find("one")
    assert console.text()[:first] == "one"
    assert console.find("one", first) == 11
    assert console.find("three") == -1
    assert heard == [b"one\r\ntwo\r\none\r\n"]
    console.feed(b"x" * 2_000_000 + b"end")
    assert console.find("end", first) == console.position
    assert console.find("two", first) == -1
    assert len(console.text()) <= 1024 * 1024


def test_a_flash_is_provisioned_once(tmp_path):
    path = tmp_path / "flash"
    config = default_config("a/b", "broker", 1883)
    assert provision_flash(path, b"flash image", TABLE, config)
    before = path.read_bytes()
    assert before.startswith(b"flash image") and len(before) == 4 << 20
    assert b'"a/b"' in before[TABLE.find("vfs").offset :]
    assert not provision_flash(path, b"another", TABLE, config)
    assert path.read_bytes() == before


def test_a_missing_or_too_large_flash_image_is_named(tmp_path):
    path, config = tmp_path / "flash", default_config("a/b", "broker", 1883)
    with pytest.raises(UsageError, match=r"flash\.bin is missing.*invoke build --board sim"):
        provision_flash(path, tmp_path / "sim" / "flash.bin", TABLE, config)
    with pytest.raises(UsageError, match="reaches into the filesystem"):
        provision_flash(path, bytes(0x310001), TABLE, config)
    assert not path.exists()


def test_a_board_of_a_test_has_the_flash_of_its_kind(tmp_path, monkeypatch):
    kind, made = tmp_path / "shed", tmp_path / "build"
    for path, text in (
        (kind / "board.toml", 'extends = "sim"\nflash_size = "8MiB"\n'),
        (made / "app.bin", "app"),
        (made / "flash.bin", "flash image"),
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    board, broker = MagicMock(), MagicMock(host="127.0.0.1", port=1883)
    monkeypatch.setattr(firmware, "simulated", lambda: Board.load(kind))
    monkeypatch.setattr(world, "Broker", lambda **_: broker)
    monkeypatch.setattr(world, "SimBoard", lambda *_: board)
    with world.World(tmp_path / "boards", tmp_path, firmware.load(made)) as there:
        assert there.add() is board
    (flash,) = (tmp_path / "boards").iterdir()
    assert flash.stat().st_size == 8 << 20 and flash.read_bytes().startswith(b"flash image")


def test_each_flash_has_its_own_mac(tmp_path):
    assert mac_of(tmp_path / "a") == mac_of(tmp_path / "a")
    assert mac_of(tmp_path / "a") != mac_of(tmp_path / "b")


def test_a_console_gives_lines_that_are_whole_and_each_once():
    console = Console(threading.Condition(), None)
    console.feed(b"fan on\r\nfan \xffff\r\nfan")
    line, end = console.find_line(re.compile("fan").search)
    assert line == "fan on" and end == len("fan on\n")
    line, end = console.find_line(re.compile("fan").search, end)
    assert line == "fan \ufffdff"
    assert console.find_line(re.compile("fan").search, end) is None
    console.feed(b" again\r\n")
    assert console.find_line(re.compile("fan").search, end) == ("fan again", console.position)
