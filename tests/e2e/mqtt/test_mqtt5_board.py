"""Tests a board whose firmware has MQTT 5, and that other firmware says it has none."""

import signal

import pytest
from hostclient5 import HostClient5
from waiting import wait_until

from mqhost.paths import FROZEN

PATIENCE = 30.0
MODULE = b"""
async def start(board, settings):
    async with board.client.messages("orders", properties=True) as messages:
        async for _, payload, _, given in messages:
            tag = {0x09: given[0x09], 0x26: given[0x26]}
            await board.client.publish(given[0x08], payload, qos=1, properties=tag)
"""


@pytest.fixture(scope="module")
def image(variant):
    package = (FROZEN / "mqboard" / "mqtt5").glob("*.py")
    return variant("mqtt5", {f"mqboard/mqtt5/{path.name}": path.read_text() for path in package})


@pytest.fixture
def speaking(make_board, image):
    """Give speaking("auto", …) -> a board, online."""

    def start(version, **changes):
        board = make_board(image, protocol={"version": version, "session_s": 60}, **changes)
        board.wait_settled()
        return board

    return start


def test_a_board_is_managed_by_mqtt_5(speaking, tmp_path):
    board = speaking("auto")
    assert board.eval("board.client.level") == "5"
    file = tmp_path / "large"
    file.write_bytes(bytes(range(256)) * 100)
    board.said("put", file, ":large")
    board.said("get", ":large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    # Code that lets nobody else run is ended by a message that nobody has taken yet.
    process = board.command("exec", "print('begun')\nwhile True: print('on', end='')")
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert "KeyboardInterrupt" in err
    assert board.eval("board.client.connects") == "1"
    # By the way: what it may not speak is refused, and what it may is tried and kept.
    board.said("config", "set", "broker.version=5")
    board.wait_settled()
    assert board.eval("board.config.version, board.client.level") == "('5', 5)"
    board.said("config", "set", "broker.version=3.1.1")
    board.wait_settled()
    # The package is in this firmware, and idle the board has none of it.
    assert board.eval("board.client.level") == "4"
    loaded = "[name for name in __import__('sys').modules if 'mqtt5' in name]"
    assert board.eval(loaded) == "[]"


def test_modules_get_and_send_properties(speaking, broker):
    board = speaking("5", files={"/app/orders.py": MODULE}, modules={"orders": {}})
    # It is started once the board has settled: then it has subscribed.
    wait_until(lambda: "orders" in board.eval("board.client._subscriptions"), PATIENCE)
    user = [("a", "1"), ("b", "2")]
    with HostClient5(broker.port, "answers") as desk:
        given = {"ResponseTopic": "answers", "CorrelationData": b"\0\1", "UserProperty": user}
        desk.publish("orders", b"fill", **given)
        (answer,) = desk.wait(1)
        assert answer.payload == b"fill" and answer.properties.CorrelationData == b"\0\1"
        assert answer.properties.UserProperty == user


def test_firmware_without_mqtt_5_says_so(run):
    code, _, err = run("config", "set", "broker.version=auto")
    assert code == 5 and "no MQTT 5 in this firmware" in err, err
    code, _, err = run("config", "set", "broker.version=4")
    assert code != 0 and "it must be one of 3.1.1, 5, auto" in err, err
