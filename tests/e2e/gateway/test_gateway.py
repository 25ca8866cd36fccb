"""Tests the gateway: a simulated board, and simulated chips that have nothing but ESP-NOW."""

import json
import re

import pytest
from hostclient import HostClient
from waiting import wait_until

from mqhost.sim.air import Air
from mqhost.sim.device import AccessPoint

COUNT = 200
KEY = "000102030405060708090a0b0c0d0e0f"
PUMP = b"\x24\x0a\xc4\x00\x00\x09"
METER = b"\x24\x0a\xc4\x00\x00\x0a"
STRANGER = b"\x24\x0a\xc4\x00\x00\x0b"
NODES = {
    "pump": {"mac": "24:0a:c4:00:00:09", "key": KEY, "queue": 60},
    "meter": {"mac": "24:0a:c4:00:00:0a"},
}

# A node has nothing of ours but the driver: these stand in place of _boot.py and main.py.
BOOT = """
import machine
import vfs
from flashbdev import bdev
machine.WDT(timeout=600_000)
vfs.mount(bdev, "/")
"""
MAIN = """
import sys
sys.path.append("/")
import node
"""
BOTH_WAYS = f"""
import asyncio
import mqnode

seen = []

async def main():
    async with mqnode.Node(mqnode.Radio(), key="{KEY}", patience_s=120) as node:
        await node.subscribe("~/in", lambda topic, payload, retained: seen.append(int(payload)))
        print("subscribed")
        listening = asyncio.create_task(node.listen())
        for number in range({COUNT}):
            await node.publish("~/out", b"%d" % number)
            while len(seen) < number - 30:
                await asyncio.sleep(0.01)
        while len(seen) < {COUNT}:
            await asyncio.sleep(0.01)
        listening.cancel()
        await node.fetch()  # it has our last answer
        print("seen", seen, "repeated", node.repeated, "refused", node._radio.refused, "end")

asyncio.run(main())
"""
WAKES = """
import asyncio
import machine
import mqnode

rtc = machine.RTC()

async def main():
    async with mqnode.Node(mqnode.Radio(), state=rtc.memory()) as node:
        number = node.sent
        try:
            await node.subscribe("~/order", lambda topic, payload, retained: print(payload))
            word = await node.publish("~/reading", b"%d" % number)
            await node.fetch()
        except (mqnode.Lost, mqnode.Refused) as error:
            word = repr(error)
        rtc.memory(node.state())
        print("reading", number, word, "on channel", node.channel, "end")

asyncio.run(main())
machine.deepsleep(200)
"""

HEARS = """
import espnow
import network

wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.config(channel=3)
radio = espnow.ESPNow()
radio.active(True)
radio.add_peer(b"\\x24\\x0a\\xc4\\0\\0\\x0b", b"k" * 16)
print(">", radio.recv(0))
print("hears")
mac, frame = radio.recv()
print(">", mac, frame)
while not radio.any():
    pass
mac, frame = radio.irecv(0)
print(">", radio.any() or mac in radio.peers_table, bytes(frame), radio.peers_table[mac][0])
print(">", radio.stats()[3])
print("end")
"""
SPEAKS = """
import espnow
import network

def fails(work, *arguments):
    try:
        work(*arguments)
    except OSError as error:
        print(">", *error.args)

METER = b"\\x24\\x0a\\xc4\\0\\0\\x0a"
radio = espnow.ESPNow()
fails(radio.send, METER, b"x")
fails(radio.active, True)
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
assert radio.active(True) and espnow.ESPNow() is radio
fails(radio.send, METER, b"x")
radio.add_peer(METER, b"k" * 16)
radio.add_peer(b"\\xff" * 6)
fails(radio.add_peer, METER)
fails(radio.send, METER, bytes(251))
print(">", radio.peer_count())
wrong = radio.send(METER, b"none")
wlan.config(channel=3)
print(">", wrong, radio.send(METER, b"one"))
print(">", radio.send("two"))
print(">", radio.get_peer(METER))
print(">", radio.stats()[:3])
try:
    radio.mod_peer(METER, b"short")
except ValueError as error:
    print("> ValueError", error)
radio.config(timeout_ms=1000)
try:
    radio.config("rate")
except ValueError as error:
    print(">", radio.config("rxbuf"), radio.config("timeout_ms"), "ValueError", error)
print("end")
"""


@pytest.fixture(scope="module")
def air():
    with Air(seed=1) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(make_shared_board, air):
    """Give a board that is a gateway, on a network on channel 6."""
    made = make_shared_board(
        modules={"mqgateway": {"nodes": NODES, "memory": 20_000}},
        air=air,
        access_points={"simnet": AccessPoint("simpassword", channel=6)},
    )
    made.wait_online()
    return made


@pytest.fixture
def start(make_board, variant, air):
    """Give start(mac, program) -> the Device of a node."""
    image = variant("node", {"_boot.py": BOOT, "main.py": MAIN})
    return lambda mac, program: (
        make_board(image, air=air, mac=mac, files={"/node.py": program.encode()}).device
    )


def statistics(gateway):
    return json.loads(gateway.said("modules", "--json"))["modules"][0]["statistics"]


def test_frames_of_espnow(start, air):
    """The stand-in for the port's module has its signatures and errors."""
    node = start(METER, HEARS)
    node.wait_console("hears", 60)
    other = start(STRANGER, SPEAKS)
    other.wait_console("end", 60)
    node.wait_console("end", 60)
    assert told(other.console.text()) == [
        "-12389 ESP_ERR_ESPNOW_NOT_INIT",
        "2",
        "-12393 ESP_ERR_ESPNOW_NOT_FOUND",
        "-12395 ESP_ERR_ESPNOW_EXIST",
        "-12390 ESP_ERR_ESPNOW_ARG",
        "(2, 1)",
        "False True",  # on another channel, and on its own
        "True",  # to all peers that stand for one
        "(b'$\\n\\xc4\\x00\\x00\\n', b'kkkkkkkkkkkkkkkk', 0, 0, True)",
        "(3, 3, 1)",
        "ValueError invalid buffer length",
        "526 1000 ValueError unknown config param",
    ]
    assert told(node.console.text()) == [
        "(None, None)",
        "b'$\\n\\xc4\\x00\\x00\\x0b' b'one'",
        "True b'two' -50",
        "2",
    ]


def told(text):
    return [line[2:].strip() for line in text.splitlines() if line.startswith("> ")]


def numbers(host):
    return [int(payload) for _, payload, _ in list(host.messages)]


def test_nothing_is_lost_or_doubled_on_a_bad_radio(gateway, start, air, broker):
    air.loss, air.double, air.reorder = 0.08, 0.05, 0.1
    topic = gateway.prefix + "/nodes/pump/"
    try:
        with HostClient(broker.port, topic + "out") as host:
            node = start(PUMP, BOTH_WAYS)
            node.wait_console("subscribed", 120)
            for number in range(COUNT):
                host.wait_payload(topic + "out", b"%d" % number)
                host.send(topic + "in", b"%d" % number)
            node.wait_console("end", 120)
            assert host.wait(topic + "out", COUNT) == [b"%d" % each for each in range(COUNT)]
    finally:
        air.loss = air.double = air.reorder = 0.0
    said = re.search(r"seen (\[.*\]) repeated (\d+) refused 0", node.console.text())
    assert json.loads(said[1]) == list(range(COUNT))
    assert int(said[2]) > 0 and air.lost > 0
    told = statistics(gateway)
    pump = told["nodes"]["pump"]
    assert (pump["published"], pump["delivered"], pump["dropped"]) == (COUNT, COUNT, 0)
    assert (told["kept"], told["held"], pump["forged"]) == (0, 0, 0)


def test_a_node_sleeps_between_messages_and_is_served_without_a_network_too(gateway, start, broker):
    topic = gateway.prefix + "/nodes/meter/"
    with HostClient(broker.port, topic + "reading") as host:
        stranger = start(STRANGER, WAKES)
        node = start(METER, WAKES)
        node.wait_console("reading 0 published on channel 6", 60)
        node.wait_boots(2)
        for order in (b"one", b"two"):
            host.publish(topic + "order", order)
        node.wait_console("b'one'", 60)
        node.wait_console("b'two'", 60)
        assert len(numbers(host)) == len(set(numbers(host)))
        gateway.device.wifi(False)
        node.wait_console(" kept on channel 1 end", 120)
        kept = int(re.search(r"reading (\d+) kept", node.console.text())[1])
        assert kept not in numbers(host)
        gateway.device.wifi(True)
        since = node.wait_console("published on channel 6", 120, node.console.find(" kept on"))
        text = node.console.text()[:since]
        said = {int(each) for each in re.findall(r"reading (\d+) (?:published|kept)", text)}
        wait_until(lambda: said <= set(numbers(host)), 60)
        assert text.count("b'one'") == text.count("b'two'") == 1
        wait_until(lambda: statistics(gateway)["strangers"] > 0)
        assert "a stranger speaks ESP-NOW: 24:0a:c4:00:00:0b" in gateway.device.console.text()
        assert "published" not in stranger.console.text()
