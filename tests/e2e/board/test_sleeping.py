"""Tests boards that sleep between two wakes: what they say, and that nobody surprises them."""

import json
import textwrap
import time
from types import SimpleNamespace

import pytest
from waiting import wait_until

import mqwire
from ci.proxies.delayproxy import HOST, DelayProxy
from mqhost.link.connection import Subscription
from mqhost.sim.device import DeviceTimeout, ResetCause, State
from mqhost.sim.radio import AccessPoint
from mqwire import waiting

_METER = b"""
heard = []

async def start(board, settings):
    prefix = board.config.prefix
    hear = lambda topic, payload, _: heard.append(bytes(payload))
    await board.client.subscribe(prefix + "/wish", hear)
    await board.client.publish(prefix + "/reading", b"21.5", qos=1)
    if heard:
        await board.client.publish(prefix + "/heard", heard[-1], qos=1)
    board.power.done()
"""
_VALVE = b"""
import asyncio

async def start(board, settings):
    prefix = board.config.prefix

    async def move(topic, payload, _):
        await asyncio.sleep(0.5)
        await board.client.publish(prefix + "/moved", payload, qos=1)

    await board.client.subscribe(prefix + "/wish", move)
    board.power.done()
"""
_POWER = {"period_s": 3, "awake_s": 2, "longest_s": 60}
WAKES = 40.0  # seconds for some wakes on a slow machine


@pytest.fixture
def make_sleeper(make_board):
    """Give make_sleeper(power={…}) -> Board that sleeps, with a module that measures."""

    def make(power=None, **changes):
        power = _POWER | (power or {})
        return make_board(power=power, modules={"meter": {}}, files={"meter.py": _METER}, **changes)

    return make


def wait_asleep(board, session, condition=lambda status: True):
    found = session.wait_status(
        lambda status: status.get("state") == mqwire.ASLEEP and condition(status), WAKES
    )
    assert found, board.device.console.tail()
    return found


def listen(board, session, name):
    """Return a list that gets what the board publishes on <prefix>/<name>."""
    heard = []
    topic = f"{board.prefix}/{name}"
    session.connection.subscribe(Subscription({topic: lambda payload, _: heard.append(payload)}))
    return heard


def test_it_wakes_tells_its_reading_and_sleeps(make_sleeper):
    board = make_sleeper()
    with board.session() as session:
        readings, log = listen(board, session, "reading"), listen(board, session, "log")
        board.wait_status(session, lambda status: True)
        now = int(time.time())
        session.request("clock", str(now).encode())
        status = wait_asleep(board, session)
        assert status["until"] - status["at"] == status["sleeps_s"] <= 3
        assert abs(status["at"] - now) < 60 and status["power"] == {"period_s": 3}
        assert status["slot_state"] == "valid" and status["version"]
        seen = []
        session.watch_status(seen.append)
        log.clear()
        count = len(readings)
        board.device.wait_for(lambda device: len(device.boots) >= 4, WAKES)
        wait_asleep(board, session, lambda later: later["boot_id"] != status["boot_id"])
        wait_until(lambda: len(readings) >= count + 2, WAKES)
        # Neither a crash nor an absence; the clock has gone on; the log is for whoever listens.
        assert {one["state"] for one in seen if one} == {mqwire.ASLEEP}
        assert not any("crashes" in one for one in seen if one)
        assert all(one["until"] > now for one in seen if one) and not log
    causes = {boot.reset_cause for boot in board.device.boots[1:]}
    assert causes == {ResetCause.DEEPSLEEP}
    code, out, _ = board.mqboard("boards", board.prefix, "--json")
    assert code == 0 and json.loads(out)[0]["state"] == mqwire.ASLEEP
    code, _, error = board.mqboard("status")
    assert code == 0 and "asleep until" in error


def test_a_command_to_a_sleeper_is_never_executed_later(make_sleeper):
    board = make_sleeper()
    with board.session() as session:
        board.wait_status(session, lambda status: True)
        wait_asleep(board, session)
        topic = mqwire.command_topic(board.prefix, "eval", "surprise")
        session.connection.publish(topic, b"\x80\x00open('/late', 'w').close()")
        code, _, error = board.mqboard("eval", "open('/late', 'w').close()")
        assert code == 4 and "asleep" in error and "--wait" in error
        boots = len(board.device.boots)
        board.device.wait_for(lambda device: len(device.boots) >= boots + 2, WAKES)
    code, out, error = board.mqboard("--wait", "eval", "__import__('os').listdir('/')")
    assert code == 0, error
    assert "late" not in out and "meter.py" in out


@pytest.mark.parametrize("lost", ["power", "network"])
def test_a_command_from_when_the_connection_broke_is_not_executed(make_sleeper, lost):
    board = make_sleeper(power={"awake_s": 60})
    device = board.device
    with board.session() as session:
        birth = board.wait_status(session, lambda status: True)
        board.wait_settled()
        if lost == "power":
            device.power_off()
        else:
            device.wifi(False)
        assert session.wait_status(lambda status: status["state"] == "offline", WAKES)
        topic = mqwire.command_topic(board.prefix, "eval", "surprise")
        message = b"\x80\x00open('/late', 'w').close()"
        session.connection.publish(topic, message).wait_for_publish(10)
        device.power_on() if lost == "power" else device.wifi(True)
        again = board.wait_status(session, lambda status: True)
        assert (again["boot_id"] == birth["boot_id"]) == (lost == "network")
    assert "late" not in board.eval("__import__('os').listdir('/')")


def test_it_stays_awake_for_whoever_waits_and_then_sleeps_again(make_sleeper):
    board = make_sleeper()
    with board.session() as session:
        notes = listen(board, session, waiting.topic("")[1:])
        board.wait_status(session, lambda status: True)
        wait_asleep(board, session)
        code, out, error = board.mqboard("--wait", "eval", "__import__('time').sleep(3) or 6*7")
        assert (code, out.strip()) == (0, "42") and "Waiting for it" in error
        wait_until(lambda: notes and not notes[-1], WAKES)
        assert json.loads(notes[0])["until"] > time.time()
        wait_asleep(board, session)


def test_what_is_sent_to_a_module_while_it_sleeps_arrives(make_sleeper):
    board = make_sleeper()
    with board.session() as session:
        heard = listen(board, session, "heard")
        board.wait_status(session, lambda status: True)
        wait_asleep(board, session)
        session.connection.publish(f"{board.prefix}/wish", b"hotter").wait_for_publish(10)
        wait_until(lambda: heard == [b"hotter"], WAKES, board.device.console.tail)


def test_it_arrives_after_a_wake_in_vain_too_and_is_handled_before_the_next_sleep(make_board):
    files = {"valve.py": _VALVE}
    board = make_board(power=_POWER, modules={"valve": {}}, files=files)
    device = board.device
    with board.session() as session:
        moved = listen(board, session, "moved")
        board.wait_status(session, lambda status: True)
        wait_asleep(board, session)
        device.wait_for(lambda device: device.state is State.ASLEEP, WAKES)
        device.wifi(False)
        for wish in (b"1", b"2"):
            session.connection.publish(f"{board.prefix}/wish", wish).wait_for_publish(10)
        boots = len(device.boots)
        device.wait_for(lambda device: len(device.boots) > boots, WAKES)
        device.wait_for(lambda device: device.state is State.ASLEEP, WAKES)
        device.wifi(True)
        wait_until(lambda: moved == [b"1", b"2"], WAKES, device.console.tail)


def test_over_a_line_that_takes_a_second_each_way_it_arrives_too(make_sleeper, broker):
    with DelayProxy(broker.port, 0.6) as line:
        at = SimpleNamespace(host=HOST, port=line.port)
        board = make_sleeper(power={"awake_s": 30}, at=at)
        board.broker = broker  # for the host
        with board.session() as session:
            heard = listen(board, session, "heard")
            board.wait_status(session, lambda status: True)
            wait_asleep(board, session)
            board.device.wait_for(lambda device: device.state is State.ASLEEP, WAKES)
            session.connection.publish(f"{board.prefix}/wish", b"hotter").wait_for_publish(10)
            wait_until(lambda: heard == [b"hotter"], 2 * WAKES, board.device.console.tail)
        assert "did not hang up in time" not in board.device.console.text()


def test_its_setup_network_opens_after_sleeps_out_of_reach_and_keeps_it_awake(make_sleeper):
    setup = {"password": "apple-river-42", "after_s": 6}
    board = make_sleeper(setup=setup)
    device = board.device
    with board.session() as session:
        board.wait_status(session, lambda status: True)
        wait_asleep(board, session)
    device.wait_for(lambda device: device.state is State.ASLEEP, WAKES)
    device.wifi(False)
    device.wait_console("setup network mqboard-", WAKES)
    boots = len(device.boots)
    with pytest.raises(DeviceTimeout):  # longer than a wake in vain may take
        device.wait_for(lambda device: device.state is State.ASLEEP, 3 * _POWER["awake_s"])
    assert len(device.boots) == boots


_HOLDER = b"""
import asyncio

async def start(board, settings):
    board.power.hold()
    board.power.done()
    await asyncio.sleep(settings["for_s"])
    await board.client.publish(board.config.prefix + "/held", b"%d" % bool(board.power.woke), qos=1)
    board.power.release()
"""


def test_a_module_and_a_transfer_keep_it_up_for_longer_than_a_wake(make_board):
    modules = {"holder": {"for_s": _POWER["awake_s"] + 1}}
    board = make_board(power=_POWER, modules=modules, files={"holder.py": _HOLDER})
    board.device.latency(True)
    with board.session() as session:
        held = listen(board, session, "held")
        board.wait_status(session, lambda status: True)
        wait_asleep(board, session)
        wait_until(lambda: b"1" in held, WAKES, board.device.console.tail)
        code, out, error = board.mqboard("--wait", "put", __file__, "/large.py")
        assert code == 0, out + error + board.device.console.tail()
        wait_asleep(board, session)


def test_an_update_that_takes_longer_than_a_wake_goes_on_in_the_next(make_sleeper, variant):
    image = variant("9.9")
    board = make_sleeper(power={"longest_s": 2})
    board.device.latency(True)
    with board.session() as session:
        board.wait_status(session, lambda status: True)
        wait_asleep(board, session)
        said = []
        session.watch_status(said.append)
        code, out, error = board.mqboard(
            "ota", "--image", image.app, "--wait", "5m", "--full", timeout=300
        )
        assert code == 0, out + error + board.device.console.tail()
        status = wait_asleep(board, session, lambda status: status["version"] == "9.9")
        assert status["slot_state"] == "valid" and not status["failed"]
        states = [one["state"] for one in said if one and one["version"] != "9.9"]
        woken = states.index(mqwire.ONLINE)
        assert mqwire.ASLEEP in states[woken:], "it was done in one wake"


def test_an_empty_battery_is_told_of_once_and_then_spared(make_sleeper):
    battery = {"pin": 35, "ratio": 2, "floor_v": 3.3}
    board = make_sleeper(power={"battery": battery})
    board.device.millivolts(35, 1900)
    with board.session() as session:
        readings = listen(board, session, "reading")
        birth = board.wait_status(session, lambda status: True)
        assert birth["power"] == {"period_s": 3, "volts": 3.8, "empty": False}
        board.device.millivolts(35, 1600)
        wait_asleep(board, session, lambda status: status["power"]["empty"])
        boots, count = len(board.device.boots), len(readings)
        board.device.wait_for(lambda device: len(device.boots) >= boots + 3, WAKES)
        assert len(readings) == count
        board.device.millivolts(35, 2100)
        wait_asleep(board, session, lambda status: not status["power"]["empty"])


def test_a_pin_ends_the_sleep(make_sleeper):
    pins = [{"pin": 33, "level": 1}, {"pin": 4, "level": 0}]
    board = make_sleeper(power={"period_s": 3600, "wake_pins": pins})
    with board.session() as session:
        status = board.wait_status(session, lambda status: True)
        for pin in (33, 4):
            status = wait_asleep(board, session, lambda new, old=status: new != old)
            board.device.wait_for(lambda device: device.state is State.ASLEEP, WAKES)
            board.device.raise_pin(25)  # not one of them
            boots = len(board.device.boots)
            board.device.raise_pin(pin)
            boot = board.device.wait_boots(boots + 1, WAKES)
            assert boot.reset_cause is ResetCause.DEEPSLEEP
        wait_asleep(board, session, lambda new: new["boot_id"] != status["boot_id"])


def test_it_looks_for_its_network_where_that_was_when_it_fell_asleep(make_sleeper):
    networks = {"simnet": AccessPoint("simpassword", channel=11)}
    board = make_sleeper(access_points=networks)
    attempts = board.device.networks.radio.attempts
    with board.session() as session:
        board.wait_status(session, lambda status: True)
        wait_asleep(board, session)
        wait_until(lambda: attempts[-1] == ("simnet", 11), WAKES)
        board.device.wifi(True, channel=3)  # it goes elsewhere, and is found all the same
        wait_until(lambda: attempts[-1] == ("simnet", 3), WAKES)
        readings = listen(board, session, "reading")
        wait_until(lambda: len(readings) >= 2, WAKES)
    assert {channel for _, channel in attempts} == {1, 11, 3}


def test_its_configuration_can_be_changed_at_a_wake(make_sleeper):
    board = make_sleeper()
    with board.session() as session:
        board.wait_status(session, lambda status: True)
        wait_asleep(board, session)
        boots = len(board.device.boots)
        board.device.wait_for(lambda device: len(device.boots) >= boots + 2, WAKES)
        code, out, error = board.mqboard("--wait", "config", "set", "power.period_s=4")
        assert code == 0, out + error + board.device.console.tail()
        wait_asleep(board, session, lambda status: status["power"] == {"period_s": 4})


def test_limits_too_short_to_connect_in_lock_nobody_out(make_sleeper):
    # Each wake is over before it is connected; but the boot after power-on is not.
    board = make_sleeper(power={"awake_s": 1, "longest_s": 2}, update={"health_s": 3})
    device = board.device
    device.wifi(False)
    device.power_off()
    boots = len(device.boots)
    device.power_on()
    device.wait_boots(boots + 1, WAKES)
    boots = len(device.boots)
    with pytest.raises(DeviceTimeout):  # twice longest_s later it is still the same boot
        device.wait_boots(boots + 1, 4)
    device.wifi(True)
    code, out, error = board.mqboard("--wait", "config", "set", "power.longest_s=60")
    assert code == 0, out + error + device.console.tail()
    with board.session() as session:
        wait_asleep(board, session)


def test_the_json_repl_answers_in_no_quiet_wake(make_sleeper):
    board = make_sleeper(repl={"json": True})
    with board.session() as session:
        answers = listen(board, session, "repl/out")
        board.wait_status(session, lambda status: True)

        def ask():
            return session.connection.publish(f"{board.prefix}/repl/in", b"6*7")

        wait_until(lambda: ask() and answers, WAKES)
        wait_asleep(board, session)
        board.device.wait_for(lambda device: device.state is State.ASLEEP, WAKES)
        answers.clear()
        boots = len(board.device.boots)
        wait_until(lambda: ask() and len(board.device.boots) >= boots + 3, WAKES)
    assert not answers


def test_a_configuration_that_a_sleep_puts_on_trial_is_settled(make_sleeper):
    board = make_sleeper()
    code = """
        import json
        from esp32 import NVS
        from mqboard.health import bootrecord, configtrial
        root = json.load(open("/config.json"))
        root["power"]["period_s"] = 4
        store = bootrecord.Store(NVS(bootrecord.NAMESPACE))
        configtrial.begin(store, "/config.json", json.dumps(root), "trial")
    """
    with board.session() as session:
        board.wait_status(session, lambda status: True)
        wait_asleep(board, session)
        assert board.mqboard("--wait", "exec", textwrap.dedent(code))[0] == 0
        status = wait_asleep(board, session, lambda status: status["power"] == {"period_s": 4})
        assert not status.get("config"), board.device.console.tail()


def test_an_empty_board_can_be_caught_at_its_console_after_power_on(make_sleeper):
    board = make_sleeper(power={"battery": {"pin": 35, "ratio": 2, "floor_v": 3.3}})
    device = board.device
    device.power_off()
    device.millivolts(35, 1600)
    device.power_on()
    since = device.wait_console("battery empty", WAKES)
    device.type(b"\x03")
    device.wait_console("Stopped: this is the MicroPython prompt", WAKES, since)
    device.power_off()
    device.power_on()
    device.wait_for(lambda device: device.state is State.ASLEEP, WAKES)


def test_a_chip_without_the_circuit_for_its_wake_pins_sleeps_all_the_same(make_sleeper):
    board = make_sleeper(power={"wake_pins": [{"pin": 4, "level": 0}]})
    device = board.device
    with board.session() as session:
        board.wait_status(session, lambda status: True)
        wait_asleep(board, session)
        code, out, error = board.mqboard(
            "--wait", "exec", "__import__('esp32').wake_on_ext0 = None"
        )
        assert code == 0, out + error
        since = device.wait_console("power.wake_pins cannot end a sleep", WAKES)
        device.wait_console("boot:", WAKES, since)
        assert device.boots[-1].reset_cause is ResetCause.DEEPSLEEP
