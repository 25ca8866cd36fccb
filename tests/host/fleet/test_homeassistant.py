"""Tests boards in Home Assistant: a real broker, boards that speak the wire protocol, and one that
plays Home Assistant by its documentation."""

import json
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest
from fakeboard import FakeBoard
from hass import HomeAssistant
from pushing import offer_for
from waiting import wait_until

import mqwire
from mqhost.fleet.homeassistant import bridge as bridge_module
from mqhost.fleet.homeassistant.bridge import Bridge
from mqhost.fleet.homeassistant.removal import remove
from mqhost.fleet.where import Where
from mqhost.link.connection import Connection, Wide
from mqhost.link.settings import Settings
from mqhost.sim.broker import Broker
from mqwire import update as wire

APP = bytes(range(256)) * 40
IMAGE = (offer_for(APP), APP)
LABEL = f"0.2.0 ({IMAGE[0].sha256[:7]})"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Nobody waits as long as in a real house."""
    monkeypatch.setattr(bridge_module, "GREETING", 0.4)
    monkeypatch.setattr("mqhost.fleet.homeassistant.owners.GREETING", 0.3)
    monkeypatch.setattr("mqhost.fleet.homeassistant.owners.DEAD", 1.5)
    monkeypatch.setattr(bridge_module, "BEAT", 0.3)
    monkeypatch.setattr(bridge_module, "_PAUSE", 0.2)
    monkeypatch.setattr(bridge_module, "_TICK", 0.05)
    monkeypatch.setattr(bridge_module, "_CLAIM_AGAIN", 0.5)


@pytest.fixture
def settings(broker):
    return Settings(server=broker.host, port=broker.port, timeout=5)


@pytest.fixture
def discovery(prefix):
    """Give a discovery prefix of this test's own."""
    return f"ha/{prefix.replace('/', '-')}"


@pytest.fixture
def make(broker, prefix):
    """Give make("pump", ident) -> FakeBoard."""
    with ExitStack() as stack:

        def made(name="pump", ident="a1b2c3d4e5f6", **facts):
            board = FakeBoard(broker.port, f"{prefix}/{name}")
            board.facts |= {"id": ident, "rssi": -61} | facts
            return stack.enter_context(board)

        yield made


@pytest.fixture
def hass(broker, discovery):
    with HomeAssistant(broker.port, discovery) as running:
        yield running


@contextmanager
def bridging(settings, patterns, images=(IMAGE,), **options):
    """Run a bridge; yields it, with what it notes in `notes`."""
    notes = []
    bridge = Bridge(settings, patterns, images, note=notes.append, **options)
    bridge.notes = notes
    failure = []

    def run():
        try:
            bridge.run()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield bridge
    finally:
        bridge.stop()
        thread.join(30)
        assert not thread.is_alive() and not failure, failure


@pytest.fixture
def bridged(settings, prefix, discovery):
    """Give bridged(**options): runs a bridge for this test's boards."""

    def start(*patterns, **options):
        found = patterns or (f"{prefix}/#",)
        return bridging(settings, found, **{"discovery": discovery} | options)

    return start


DEVICE = "mqboard_a1b2c3d4e5f6"


def shown(hass, ident=DEVICE):
    """Wait until a device is there, with the answer to `info`; return its description."""
    hass.wait(lambda: ident in hass.devices and hass.available(ident))
    hass.wait(lambda: hass.state(ident, "uptime_s") is not None)
    updates = "firmware" in hass.devices[ident]["components"]
    hass.wait(lambda: not updates or hass.update(ident))
    return hass.devices[ident]


def test_a_board_is_a_device_with_its_sensors(make, hass, bridged):
    board = make()
    with bridged(tool="1.2.3"):
        record = shown(hass)
        assert record["device"]["name"] == board.prefix
        assert record["device"]["serial_number"] == "a1b2c3d4e5f6"
        assert (record["device"]["model"], record["device"]["sw_version"]) == ("sim", "0.1.0")
        assert record["origin"] == {"name": "MQBoard", "sw_version": "1.2.3"}
        assert hass.state(DEVICE, "rssi") == "-61"
        assert hass.state(DEVICE, "heap_free") == "100000"
        assert hass.state(DEVICE, "uptime_s") == "5"
        assert hass.state(DEVICE, "reset_cause") == "power-on"
        assert hass.state(DEVICE, "last_reset") > "2026"
        assert hass.offers_update(DEVICE)
        assert hass.update(DEVICE)["latest_version"] == LABEL
        board.power_off()
        hass.wait(lambda: not hass.available(DEVICE))
        board.power_on()
        hass.wait(lambda: hass.available(DEVICE))
    hass.wait(lambda: not hass.available(DEVICE))  # with the bridge


def test_nonsense_of_a_board_is_not_shown(make, hass, bridged):
    make(reset_cause="by magic", rssi="loud", version="\n\x1b[31m", mcu=["esp32"])
    with bridged():
        shown(hass)
        assert hass.state(DEVICE, "rssi") is None and hass.state(DEVICE, "reset_cause") is None


def test_install_updates_the_board_with_progress(make, hass, bridged):
    board = make()

    def progress():
        shown = [one["update_percentage"] for one in hass.history[DEVICE] if one["in_progress"]]
        return [number for number in shown if number is not None]

    def on_block(number, payload):  # how far it is is told as often as there is time: now
        wait_until(progress)
        return [payload]

    board.on_block = on_block
    with bridged() as bridge:
        shown(hass)
        hass.press(DEVICE, "firmware")
        hass.press(DEVICE, "firmware")  # twice
        hass.wait(lambda: hass.update(DEVICE).get("installed_version") == LABEL)
        hass.wait(lambda: not hass.update(DEVICE)["in_progress"])
        assert not hass.offers_update(DEVICE)
        assert board.image == APP
        hass.wait(lambda: "0.1.0 → 0.2.0, confirmed" in (hass.attributes(DEVICE)["result"] or ""))
        numbers = progress()
        assert numbers[0] < 80 and numbers == sorted(numbers)  # which is when all is sent
        assert hass.update(DEVICE)["update_percentage"] is None
        assert [command for command, _ in board.requests].count("update") == 1
        assert sum("install, asked for" in line for line in bridge.notes) == 2
        hass.wait(lambda: hass.devices[DEVICE]["device"]["sw_version"] == "0.2.0")
        hass.press(DEVICE, "firmware")
        wait_until(lambda: any("runs already" in line for line in bridge.notes))


def test_a_failed_update_says_why(make, hass, bridged):
    board = make()
    board.refuse = wire.TOO_LARGE
    with bridged():
        shown(hass)
        hass.press(DEVICE, "firmware")
        hass.wait(lambda: "does not fit" in hass.update(DEVICE).get("release_summary", ""))
        hass.wait(lambda: not hass.update(DEVICE)["in_progress"])
        assert hass.offers_update(DEVICE)
        board.refuse = None
        hass.press(DEVICE, "firmware")
        hass.wait(lambda: hass.update(DEVICE)["installed_version"] == LABEL)
        hass.wait(lambda: hass.update(DEVICE)["release_summary"] == "")


def test_what_a_board_cannot_help_is_tried_again(make, hass, bridged):
    board = make()
    board.outcome = "never confirmed"
    board.refuse = wire.CANCELLED
    with bridged() as bridge:
        shown(hass)
        hass.press(DEVICE, "firmware")
        wait_until(lambda: any("not installed" in line for line in bridge.notes))
        assert [command for command, _ in board.requests].count("update") == 3


def test_an_image_that_a_board_went_back_from_says_so(make, hass, bridged):
    failed = {"image": IMAGE[0].sha256, "version": "0.2.0", "code": wire.CRASH, "reason": "x"}
    board = make(failed=failed)
    with bridged() as bridge:
        shown(hass)
        hass.wait(lambda: "has tried this very image" in hass.update(DEVICE)["release_summary"])
        hass.press(DEVICE, "firmware")
        wait_until(lambda: any("not installed" in line for line in bridge.notes))
        assert "update" not in {command for command, _ in board.requests}


def test_an_image_that_is_too_old_is_no_update(make, hass, bridged):
    make(oldest=3)
    with bridged():
        shown(hass)
        hass.wait(lambda: "is older than" in hass.update(DEVICE)["release_summary"])
        assert not hass.offers_update(DEVICE)


def test_a_board_without_an_image_of_its_type_has_no_update(make, hass, bridged):
    make(board="other")
    with bridged():
        assert "firmware" not in shown(hass)["components"]


def test_restart_restarts_the_board(make, hass, bridged):
    board = make()
    with bridged():
        shown(hass)
        hass.press(DEVICE, "restart")
        hass.wait(lambda: "restarted, back after" in (hass.attributes(DEVICE)["result"] or ""))
        assert board.boots == 2
        hass.wait(lambda: hass.state(DEVICE, "reset_cause") == "reset")


def test_what_is_retained_or_says_something_else_is_no_press(make, hass, bridged):
    board = make()
    topic = f"mqboard/{hass.discovery}/a1b2c3d4e5f6"
    hass.publish(f"{topic}/install", b"install", retain=True)
    try:
        with bridged() as bridge:
            shown(hass)
            hass.publish(f"{topic}/restart", b"PRESS")
            wait_until(lambda: any("it says b'PRESS'" in line for line in bridge.notes))
            hass.publish(f"{topic}/install/more", b"install")
            hass.publish(f"mqboard/{hass.discovery}/nobody/install", b"install")
            hass.press(DEVICE, "restart")
            hass.wait(lambda: "restarted" in (hass.attributes(DEVICE)["result"] or ""))
        assert "update" not in {command for command, _ in board.requests}
    finally:
        hass.publish(f"{topic}/install", b"", retain=True)


def test_install_for_a_board_that_is_offline_waits_for_it(make, hass, bridged):
    board = make()
    with bridged():
        shown(hass)
        board.power_off()
        hass.wait(lambda: not hass.available(DEVICE))
        hass.press(DEVICE, "restart")
        hass.wait(lambda: "offline" in (hass.attributes(DEVICE)["result"] or ""))
        hass.press(DEVICE, "firmware")
        hass.wait(lambda: "waits for the board" in (hass.attributes(DEVICE)["result"] or ""))
    with bridged():  # the next run still knows of it
        board.power_on()
        hass.wait(lambda: hass.update(DEVICE)["installed_version"] == LABEL, 30)


def test_a_board_that_sleeps_finds_a_note_that_its_update_waits(make, hass, bridged, settings):
    board = make()
    notes = []
    connection = Connection(settings)
    connection.connect()
    topic = board.prefix + "/mqb/waiting"
    connection.subscribe(Wide("notes", [topic], lambda _, payload, retained: notes.append(payload)))
    try:
        with bridged():
            shown(hass)
            board.power_off(will=False)
            said = {"state": "offline", **{key: board.facts[key] for key in ("board", "id")}}
            status = json.dumps(said).encode()
            connection.publish(mqwire.status_topic(board.prefix), status, retain=True)
            hass.wait(lambda: not hass.available(DEVICE))
            hass.press(DEVICE, "firmware")
            wait_until(lambda: notes, 20)
            note = json.loads(notes[0])
            assert note["image"] == IMAGE[0].sha256 and note["by"] == "home assistant"
            assert note["until"] > time.time() + 3600
        wait_until(lambda: notes[-1] == b"", 20)  # nobody would send it now
        with bridged():
            wait_until(lambda: notes[-1], 20)
            board.power_on()
            hass.wait(lambda: hass.update(DEVICE)["installed_version"] == LABEL, 30)
            wait_until(lambda: notes[-1] == b"", 20)
        assert [bool(note) for note in notes] == [True, False, True, False]
    finally:
        connection.close()


def test_a_board_that_comes_later_is_shown_and_one_that_is_forgotten_goes(make, hass, bridged):
    make("first")
    with bridged():
        shown(hass)
        second = make("second", "0000aaaa0000")
        shown(hass, "mqboard_0000aaaa0000")
        second.power_off()
        hass.wait(lambda: not hass.available("mqboard_0000aaaa0000"))
        hass.publish(second._status_topic, b"", retain=True)
        hass.wait(lambda: set(hass.devices) == {DEVICE})


def test_a_board_with_another_prefix_stays_the_same_device(make, hass, bridged, prefix):
    board = make("old")
    with bridged():
        before = shown(hass)
        board.power_off()
        board.prefix = f"{prefix}/küche/licht 1"
        board.power_on()
        hass.wait(lambda: hass.devices[DEVICE]["device"]["name"] == board.prefix)
        hass.wait(lambda: hass.available(DEVICE))
        after = hass.devices[DEVICE]
        ids = [{e["unique_id"] for e in one["components"].values()} for one in (before, after)]
        assert ids[0] == ids[1]
        hass.publish(f"{prefix}/old/mqb/status", b"", retain=True)
        hass.press(DEVICE, "restart")
        hass.wait(lambda: "restarted" in (hass.attributes(DEVICE)["result"] or ""))
        assert set(hass.devices) == {DEVICE}


def test_a_board_that_is_replaced_is_another_device(make, hass, bridged):
    board = make()
    with bridged():
        shown(hass)
        board.power_off()
        board.facts["id"] = "ffff00001111"
        board.power_on()
        hass.wait(lambda: set(hass.devices) == {"mqboard_ffff00001111"})


def test_old_firmware_and_odd_prefixes_have_ids_that_home_assistant_takes(make, hass, bridged):
    make("größe & maß/~", ident=None)
    make("plain", ident="no/id+#")
    with bridged():
        hass.wait(lambda: len(hass.devices) == 2)
        for ident in list(hass.devices):
            assert ident.startswith("mqboard_at_")
            shown(hass, ident)


def test_only_boards_for_which_the_condition_holds(make, hass, bridged):
    make("pump")
    make("safe", "0000aaaa0000", mode="safe")
    with bridged(where=Where.parse("mode==safe")):
        shown(hass, "mqboard_0000aaaa0000")
        assert set(hass.devices) == {"mqboard_0000aaaa0000"}


def test_home_assistant_that_starts_again_knows_all_again(make, broker, discovery, bridged):
    make()
    with bridged():
        with HomeAssistant(broker.port, discovery) as first:
            shown(first)
            retained = first.devices[DEVICE]
            first._client.publish(f"{discovery}/device/{DEVICE}/config", b"", 1, True)
            first.wait(lambda: not first.devices)
        with HomeAssistant(broker.port, discovery) as second:
            second.publish(f"{discovery}/device/{DEVICE}/config", b"")
            assert second.devices == {} and retained  # what somebody has removed stays away


def test_what_the_broker_does_not_keep_is_said_again_at_the_birth(make, broker, discovery, bridged):
    make()
    with bridged():
        with HomeAssistant(broker.port, discovery) as first:
            shown(first)
        heard = []
        with HomeAssistant(broker.port, discovery) as second:
            second.wait(lambda: second.devices)
            second._client.message_callback_add(
                f"{discovery}/device/+/config", lambda *a: heard.append(a[2].retain)
            )
            second.publish(f"{discovery}/status", b"online")
            wait_until(lambda: False in heard)


def asked(bridge):
    """Return how often a bridge was asked for something."""
    return sum("asked for" in line for line in bridge.notes)


def test_of_two_bridges_one_does_what_is_asked(make, hass, bridged):
    board = make()
    with bridged() as one, bridged() as two:
        shown(hass)
        hass.press(DEVICE, "firmware")
        hass.wait(lambda: hass.update(DEVICE).get("installed_version") == LABEL)
        hass.press(DEVICE, "restart")
        hass.wait(lambda: "restarted" in (hass.attributes(DEVICE)["result"] or ""))
        assert sorted((asked(one), asked(two))) == [0, 2]
        assert [command for command, _ in board.requests].count("update") == 1
        assert [command for command, _ in board.requests].count("reset") == 1
        first = one if asked(one) else two
        first.stop()
        hass.wait(lambda: not first._connection.connected and hass.available(DEVICE))
        other = two if first is one else one
        wait_until(lambda: other._owners.mine("a1b2c3d4e5f6"))
        hass.press(DEVICE, "restart")
        wait_until(lambda: board.boots == 4)


def test_the_other_bridge_takes_over_when_one_ends(make, hass, bridged):
    board = make()
    with bridged() as one:
        shown(hass)
        with bridged() as two:
            one.stop()
            hass.wait(lambda: not one._connection.connected)
            hass.wait(lambda: hass.available(DEVICE))
            wait_until(lambda: two._owners.mine("a1b2c3d4e5f6"))
            hass.press(DEVICE, "restart")
            hass.wait(lambda: "restarted" in (hass.attributes(DEVICE)["result"] or ""))
            assert board.boots == 2 and any("restart" in line for line in two.notes)


def test_when_a_bridge_was_away_one_of_both_is_responsible(make, hass, bridged):
    board = make()
    with bridged() as one:
        shown(hass)
        with bridged() as two:
            wait_until(lambda: two._tidy_at == 0.0)
            one._connection._client.socket().shutdown(2)  # the broker publishes its will
            wait_until(lambda: one._connection.generation == 2 and one._generation == 2)
            ident = DEVICE.removeprefix("mqboard_")
            wait_until(lambda: one._owners.mine(ident) != two._owners.mine(ident))
            hass.wait(lambda: hass.available(DEVICE))
            for _ in range(3):  # what is pressed in the middle of it may be lost
                hass.press(DEVICE, "restart")
                with suppress(AssertionError):
                    wait_until(lambda: asked(one) + asked(two), 10)
                    break
            hass.wait(lambda: "restarted" in (hass.attributes(DEVICE)["result"] or ""))
            assert asked(one) + asked(two) == 1 and board.boots == 2


def test_the_next_run_goes_on_with_an_update(make, hass, bridged):
    board = make()
    reached = threading.Event()

    def hold(number, payload):
        reached.set()
        return []  # every block is lost

    board.on_block = hold
    with bridged():
        shown(hass)
        hass.press(DEVICE, "firmware")
        assert reached.wait(20)
    assert board.image != APP
    board.on_block = None
    with bridged():
        hass.wait(lambda: hass.update(DEVICE).get("installed_version") == LABEL, 30)
        hass.wait(lambda: "confirmed" in (hass.attributes(DEVICE)["result"] or ""))


def test_another_image_is_not_installed_in_place_of_the_one_that_was_asked_for(make, hass, bridged):
    board = make()
    with bridged():
        shown(hass)
        board.power_off()
        hass.wait(lambda: not hass.available(DEVICE))
        hass.press(DEVICE, "firmware")
        hass.wait(lambda: "waits for" in (hass.attributes(DEVICE)["result"] or ""))
    other = APP + b"more"
    with bridged(images=[(offer_for(other, version="0.3.0", seq=3), other)]):
        board.power_on()
        hass.wait(lambda: "another image" in (hass.attributes(DEVICE)["result"] or ""))
        hass.wait(lambda: hass.update(DEVICE)["latest_version"].startswith("0.3.0"))
        hass.wait(lambda: hass.available(DEVICE) and not hass.update(DEVICE)["in_progress"])
    assert "update" not in {command for command, _ in board.requests}


def test_a_pattern_without_wildcards_hears_of_its_board_for_long(make, hass, bridged, prefix):
    board = make()
    with bridged(f"{prefix}/pump", every=1.0):
        shown(hass)
        wait_until(lambda: [command for command, _ in board.requests].count("info") > 2)
        board.facts["version"] = "0.1.1"
        board.announce()
        hass.wait(lambda: hass.devices[DEVICE]["device"]["sw_version"] == "0.1.1")


def test_the_broker_that_forgot_all_is_told_again(prefix):
    with Broker() as first:
        port = first.port
        with FakeBoard(port, prefix) as board:
            board.facts |= {"id": "a1b2c3d4e5f6", "rssi": -61}
            board.announce()
            settings = Settings(server="127.0.0.1", port=port, timeout=5)
            with bridging(settings, ["#"]), HomeAssistant(port) as hass:
                shown(hass)
                first.__exit__(None, None, None)
                hass.devices.clear()
                hass._retained.clear()
                with Broker(port=port):
                    shown(hass)


def test_removal_takes_all_away_also_from_a_bridge_that_runs(make, hass, bridged, settings, prefix):
    make("farm/pump")
    make("barn/pump", "0000aaaa0000")
    with bridged() as bridge:
        shown(hass)
        shown(hass, "mqboard_0000aaaa0000")
        connection = Connection(settings)
        connection.connect()
        try:
            patterns = [f"{prefix}/farm/#"]
            gone = remove(connection, patterns, discovery=hass.discovery)
            assert gone == [f"{prefix}/farm/pump"]
            hass.wait(lambda: set(hass.devices) == {"mqboard_0000aaaa0000"})
            wait_until(lambda: any("was removed" in line for line in bridge.notes))
            assert remove(connection, patterns, discovery=hass.discovery) == []
        finally:
            connection.close()


def test_what_went_while_no_bridge_was_there_is_tidied_away(make, hass, bridged, prefix):
    make("stays", "0000aaaa0000")
    gone = make("goes")
    with bridged():
        shown(hass)
        shown(hass, "mqboard_0000aaaa0000")
    gone.power_off()
    hass.publish(gone._status_topic, b"", retain=True)
    with bridged(f"{prefix}/elsewhere/#") as bridge:  # is none of its business
        wait_until(lambda: bridge._tidy_at == 0.0 and bridge._generation)
        assert DEVICE in hass.devices
    with bridged(where=Where.parse("mode==safe")):
        hass.wait(lambda: set(hass.devices) == {"mqboard_0000aaaa0000"})
