"""Runs applications written for mqtt_as (mqtt_as_apps/), unmodified, on frozen/mqtt_as.py.

They run on ordinary MicroPython with our modules in its path, on a simulated board whose Wi-Fi they
bring up themselves, and as modules of a managed board, whose Wi-Fi is not theirs.
"""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from certificates import Authority, der
from hostclient import HostClient
from hostclient5 import HostClient5
from nameserver import NameServer, address, answer
from peer import Peer
from waiting import wait_until

from ci.proxies.faultproxy import FaultProxy
from mqhost.build.sources.source import planned_source
from mqhost.flash.espimage import executable_of
from mqhost.paths import ROOT
from mqhost.sim.broker import Broker, free_port

APPS = Path(__file__).parents[1] / "mqtt_as_apps"
PATIENCE = 20.0
LOCAL = """
from mqtt_as import config
config.update({config!r})
"""
# In place of the board's own main.py: an application as it stands on other firmware.
MAIN = """
import sys
import machine
machine.WDT(timeout=600_000)
sys.path.append("/apps")
import callbacks
"""
MODULE = b"""
import asyncio
from mqtt_as import MQTTClient, config

async def watch(client):
    while True:
        await client.down.wait()
        client.down.clear()
        print("module down")

async def start(board, settings):
    config.update(settings)
    config["queue_len"] = 4
    client = MQTTClient(config)
    await client.connect()
    asyncio.create_task(watch(client))
    await client.subscribe("module/in", 1)
    async for topic, msg, retained in client.queue:
        if msg == b"die":
            raise RuntimeError("the module fails")
        await client.publish("module/out", msg, qos=1)
"""


class Lines:
    """What a program prints, line by line, waited for with a deadline."""

    def __init__(self):
        self.lines = []
        self.ended = False
        self._news = threading.Condition()

    def read(self, stream):
        for line in stream:
            self._add(line.rstrip())
        self._add(None)

    def wait(self, text, since=0):
        """Wait for a line that is `text`; returns its number."""
        with self._news:
            found = self._news.wait_for(
                lambda: text in self.lines[since:] or self.ended, timeout=PATIENCE
            )
            assert found and text in self.lines[since:], f"no {text!r} in {self.lines[-30:]}"
            return self.lines.index(text, since)

    def _add(self, line):
        with self._news:
            if line is None:
                self.ended = True
            else:
                self.lines.append(line)
            self._news.notify_all()


class App(Lines):
    """An application as a process; it is killed at the end of the `with` block."""

    def __init__(self, program, path, name, settings):
        super().__init__()
        self.process = subprocess.Popen(
            [program, "-X", "heapsize=320k", APPS / f"{name}.py"],
            env=os.environ | {"MICROPYPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with self.process.stdin as stdin:
            json.dump(settings, stdin)
        self._reader = threading.Thread(target=self.read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        self.process.stdout.close()

    def finish(self):
        """Wait for its end; returns what it printed."""
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return self.lines


@pytest.fixture(scope="session")
def run(firmware, sim, tmp_path_factory):
    """Give run("callbacks", broker_port, key=value…) -> App; only its executable is ours."""
    program = tmp_path_factory.mktemp("mqtt_as") / "micropython"
    program.write_bytes(executable_of(firmware.app.read_bytes()))
    program.chmod(0o755)
    library = planned_source(sim).path / "extmod"
    # Nothing frozen: the firmware has modules that look for the simulated chip.
    path = f"{APPS}:{ROOT / 'frozen'}:{library}:{library / 'asyncio'}"

    def start(name, port=None, **settings):
        if port:
            settings |= {"server": "127.0.0.1", "port": port}
        return App(program, path, name, settings)

    return start


@pytest.fixture
def desk(broker):
    with HostClient(broker.port) as desk:
        yield desk


def test_callbacks_tell_of_messages_and_connections(run, broker, desk):
    desk.publish("order/old", b"kept", retain=True)
    with FaultProxy(broker.port) as proxy, run("callbacks", proxy.port) as app:
        app.wait("subscribed")
        app.wait("got b'order/old' b'kept' True")
        assert app.lines[0] == "network True"
        desk.publish("order/new", b"\xff")
        app.wait("got b'order/new' b'\\xff' False")
        desk.wait("count", 5)
        proxy.cut()
        down = app.wait("network False")
        up = app.wait("network True", down)
        again = app.wait("subscribed", up)
        desk.publish("order/last", b"")
        app.wait("got b'order/last' b'' False", again)
        # Renewed by us and by the application, and yet delivered once.
        assert app.lines.count("got b'order/old' b'kept' True") == 2
    desk.publish("order/old", b"", retain=True)


def test_events_tell_of_messages_and_connections(run, broker, desk):
    with FaultProxy(broker.port) as proxy, run("events", proxy.port) as app:
        up = app.wait("up")
        desk.publish("order", b"first")
        app.wait("got order first False")
        proxy.refuse()
        app.wait("down", up)
        proxy.refuse(False)
        app.wait("up", up + 1)
        desk.publish("order", b"second")
        app.wait("got order second False")


def test_a_full_queue_drops_the_oldest_and_counts_it(run, broker, desk):
    with run("events", broker.port) as app:
        app.wait("up")
        desk.publish("order", b"slow")
        desk.wait("asleep")
        for number in range(5):
            desk.publish("order", b"%d" % number)
        app.wait("discards 3")
        app.wait("got order 4 False")
        assert "got order 2 False" not in app.lines


@pytest.mark.parametrize("politely", [True, False])
def test_the_will_is_for_those_who_leave_without_a_word(run, broker, desk, politely):
    with run("will", broker.port) as app:
        desk.wait("ready")
        desk.publish("go", b"politely" if politely else b"now")
        app.finish()
        desk.publish("after")
        desk.wait("after")
        if not politely:
            desk.wait("gone")
            desk.publish("gone", b"", retain=True)
        assert politely != (b"Goodbye" in desk.payloads("gone"))


def test_a_kept_session_has_what_came_meanwhile(run, broker, desk):
    with FaultProxy(broker.port) as proxy, run("kept", proxy.port) as app:
        app.wait("ready")
        proxy.refuse()
        for number in range(20):
            desk.publish("kept", b"%d" % number)
        proxy.refuse(False)
        app.wait("got kept 19 False")
        assert app.lines[1:] == [f"got kept {number} False" for number in range(20)]


def test_clean_init_decides_on_what_an_earlier_run_left(run, broker, desk):
    def hears_it(clean_init):
        """Return whether the application gets "away" before a message that is published now."""
        name = f"{time.monotonic_ns()}"
        with run("kept", broker.port, client_id="lasting", clean_init=clean_init) as app:
            app.wait("ready")
            desk.publish("kept", name)
            return "got kept away False" in app.lines[: app.wait(f"got kept {name} False")]

    assert not hears_it(False)
    desk.publish("kept", b"away")
    assert hears_it(False)
    desk.publish("kept", b"away")
    assert not hears_it(True)


@pytest.mark.parametrize("clean", [True, False])
def test_mqtt_5_has_properties_and_aliases(run, broker, clean):
    settings = {"mqttv5_con_props": {"17": 600}, "clean": clean, "client_id": f"five-{clean}"}
    with (
        FaultProxy(broker.port) as proxy,
        HostClient5(broker.port, "#") as desk,
        run("five", proxy.port, **settings) as app,
    ):
        app.wait("up True")
        user = [("k", "v"), ("l", "w")]
        desk.publish("order", b"one", CorrelationData=b"tag", UserProperty=user)
        app.wait("properties [(9, b'tag'), (11, 5), (38, {'k': 'v', 'l': 'w'})]")
        at = app.wait("got order one False")
        desk.publish("alias", b"far/away")
        wait_until(lambda: len(desk.of("far/away")) == 2, PATIENCE, lambda: app.lines)
        app.wait("properties None", at)
        proxy.refuse()
        app.wait("down", at)
        desk.publish("order", b"away")
        proxy.refuse(False)
        app.wait("up True", at)
        desk.publish("order", b"last")
        app.wait("got order last False", at)
        assert ("got order away False" in app.lines) is not clean
    echo = desk.of("echo")[0]
    assert echo.payload == b"one" and echo.properties.CorrelationData == b"tag"
    assert sorted(echo.properties.UserProperty) == user
    assert {message.properties.ContentType for message in desk.of("far/away")} == {"x"}


@pytest.mark.parametrize("clean", [True, False])
def test_subscriptions_outlive_a_restart_of_the_broker(run, clean):
    with Broker() as broker, run("kept", broker.port, clean=clean) as app:
        app.wait("ready")
        broker.restart()
        with HostClient(broker.port) as desk:

            def heard():
                desk.publish("kept", b"here")
                return "got kept here False" in app.lines

            wait_until(heard)


def test_a_kept_session_outlives_a_restart_of_the_broker(run, tmp_path):
    with (
        Broker(persistence=tmp_path) as broker,
        FaultProxy(broker.port) as proxy,
        run("kept", proxy.port) as app,
    ):
        app.wait("ready")
        proxy.refuse()
        with HostClient(broker.port) as desk:
            desk.publish("kept", b"before")
        broker.restart()
        with HostClient(broker.port) as desk:
            desk.publish("kept", b"after")
        proxy.refuse(False)
        app.wait("got kept after False", app.wait("got kept before False"))


def test_publications_survive_outages(run, broker, desk):
    with FaultProxy(broker.port) as proxy, run("counter", proxy.port) as app:
        for count in (10, 40, 70):
            desk.wait("number", count)
            proxy.cut(reset=count == 40)
        numbers = [int(payload) for payload in desk.wait("number", 100)]
        assert sorted(set(numbers)) == list(range(100))
        assert list(dict.fromkeys(numbers)) == list(range(100))
        assert app.finish()[-1] == "done"


def test_the_brokers_name_is_looked_up_without_blocking(run, broker, desk):
    def known(query):
        return [answer(query, address("127.0.0.1"))]

    with (
        NameServer(lambda query: [], known) as names,
        run("named", broker.port, names_port=names.port) as app,
    ):
        desk.wait_payload("named", b"here")
        lines = app.finish()
    # The first query, which nobody answered, was waited for for a second.
    assert lines.count("tick") > 5
    assert lines[-2:] == ["internet True", "done"]


def test_a_publication_that_the_broker_hangs_up_at_is_given_up(run):
    with (
        Broker(extra=["max_packet_size 5000"]) as broker,
        HostClient(broker.port) as desk,
        run("toolarge", broker.port) as app,
    ):
        desk.wait_payload("data", b"small")
        lines = app.finish()
        assert "refused 1" in lines and lines[-1] == "done"
        assert "given up: a message of 5000 bytes to data, at which the broker hangs up" in lines


def test_a_client_may_be_ended_in_any_way_and_connect_again(run, broker):
    lives = ["one", "two", "three", "four", "five", "six"]
    with run("lives", broker.port) as app:
        said = app.finish()
    assert [line for line in said if line[0] == "g"] == [
        "got one",
        "given up",
        *[f"got {life}" for life in lives[1:4]],
        "got close",
        *[f"got {life}" for life in lives[4:]],
    ]
    assert "connected False" in said
    states = [line.split()[1] for line in said if line.startswith("network")]
    assert states[: 2 * len(lives) - 1] == ["True", "False"] * 5 + ["True"]


def test_two_clients_live_in_one_process(run, broker):
    with run("two", broker.port) as app:
        assert app.finish() == ["answer 42", "done"]


def test_what_cannot_be_done_is_refused_with_a_sentence(run):
    with run("refused") as app:
        assert app.finish() == [
            "ValueError mqtt_as: there is no config['sever']",
            "MQTTException mqtt_as: an ESP-NOW gateway (config['gateway']) is not supported",
            "ValueError mqtt_as: config['server'] must name the broker",
            "ValueError mqtt_as: config['keepalive'] must be from 0 to 65535",
            "ValueError mqtt_as: config['will'] must be (topic, msg, retain, qos)",
            "ValueError mqtt_as: there is no config['ssl_params']['ca_data']",
        ]


def test_a_walk_through_the_calls(run, broker):
    with name_server(broker.port), run("tour", broker.port, keepalive=0) as app:
        assert app.finish() == [
            "connected False",
            "connected True",
            r"(b'tour/bytes', b'\x00\xff', False)",
            r"(b'tour/text', b'gr\xc3\xbc\xc3\x9f', False)",
            "(b'tour/twice', b'two', False)",
            "b'tour/large' 10001 b'xy' <class 'bytes'>",
            "<class 'memoryview'>",
            "(b'end', b'', False)",
            "broker up True",
            "broker up True",
            "wan True",
            "connected False False False",
            "connected True",
            "end (0, 8, 3)",
        ]


@contextlib.contextmanager
def name_server(port):
    """Run something that answers the first datagram with what it was sent."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        sock.settimeout(PATIENCE)
        thread = threading.Thread(target=lambda: sock.sendto(*sock.recvfrom(512)))
        thread.start()
        yield
        thread.join()


def test_the_first_attempt_to_connect_may_fail(run):
    with run("kept", free_port()) as app:
        assert app.finish()[-1] == "OSError: (-1, '[Errno 111] ECONNREFUSED')"
    refusal = b"\x20\x02\x00\x05"
    with Peer(refusal) as peer, run("kept", peer.port, user="joe", password="secret") as app:
        assert app.finish()[-1] == "OSError: (-1, 'not authorised')"
        assert b"\x00\x03joe\x00\x06secret" in peer.received[0]


def test_a_silent_broker_is_given_up_after_some_pings(run, broker, desk):
    with FaultProxy(broker.port) as proxy, run("callbacks", proxy.port, ping_interval=0.2) as app:
        desk.wait("count", 5)
        proxy.freeze()
        down = app.wait("network False")
        proxy.thaw()
        app.wait("network True", down)


def test_tls_in_all_its_forms(run, tmp_path):
    right, wrong = Authority(tmp_path), Authority(tmp_path, "other")
    cadata = str(right.ca)
    binary = tmp_path / "ca.der"
    binary.write_bytes(der(right.ca))
    with Broker(extra=right.listener("localhost"), tls=True) as broker:
        place = {"server": "localhost", "port": broker.port}
        attempts = {
            "verified": {"ssl": True, "ssl_params": {"cadata": cadata, "cert_reqs": 2}},
            "DER": {"ssl": True, "ssl_params": {"cadata": str(binary)}},
            "named": {
                "ssl": True,
                "server": "127.0.0.1",
                "ssl_params": {"cadata": cadata, "server_hostname": "localhost"},
            },
            "context": {"ssl": "context", "ssl_params": {"cadata": cadata}},
            "anybody": {"ssl": True, "ssl_params": {"do_handshake": True}},
            "stranger": {"ssl": True, "ssl_params": {"cadata": str(wrong.ca)}},
            "misnamed": {"ssl": True, "server": "127.0.0.1", "ssl_params": {"cadata": cadata}},
            "no CA": {"ssl": True, "ssl_params": {"cert_reqs": 2}},
        }
        with run("secure", **{key: place | value for key, value in attempts.items()}) as app:
            said = app.finish()
    for name in ("verified", "DER", "named", "context", "anybody"):
        assert f"{name} connected" in said
    assert sum("nothing proves" in line for line in said) == 1
    for name in ("stranger", "misnamed", "no CA"):
        assert any(line.startswith(f"{name} (-1, 'TLS: ") for line in said), said


def test_an_application_brings_its_own_wifi_up_and_back(make_board, variant, broker, desk):
    local = {"server": broker.host, "port": broker.port, "ssid": "simnet", "wifi_pw": "simpassword"}
    files = {"/apps/mqtt_local.py": LOCAL.format(config=local).encode()}
    files["/apps/callbacks.py"] = (APPS / "callbacks.py").read_bytes()
    device = make_board(variant("mqtt_as", {"main.py": MAIN}), files=files).device
    device.wait_console("subscribed", timeout=PATIENCE)
    desk.publish("order/board", b"hello")
    since = device.wait_console("got b'order/board' b'hello' False", timeout=PATIENCE)
    device.wifi(False)
    since = device.wait_console("network False", timeout=PATIENCE, since=since)
    device.wifi(True)
    device.wait_console("subscribed", timeout=PATIENCE, since=since)


def test_a_module_of_a_managed_board_leaves_the_wifi_alone(make_board, broker, desk):
    # Credentials as they stand in the application: wrong ones would show.
    settings = {"server": broker.host, "port": broker.port, "ssid": "elsewhere", "wifi_pw": "wrong"}
    board = make_board(files={"/bridge.py": MODULE}, modules={"bridge": settings})
    board.wait_online()
    echo(desk, b"first")
    board.device.wifi(False)
    board.device.wait_console("module down", timeout=PATIENCE)
    board.device.wifi(True)
    echo(desk, b"second")
    console = board.device.console.text()
    assert "elsewhere" not in console and "Traceback" not in console, console


def test_a_module_that_died_connects_in_the_place_of_its_first_life(make_board, broker, desk):
    settings = {"server": broker.host, "port": broker.port, "client_id": "module"}
    board = make_board(files={"/bridge.py": MODULE}, modules={"bridge": settings})
    echo(desk, b"alive")
    desk.publish("module/in", b"die")
    board.device.wait_console("another client is called module", timeout=PATIENCE)
    for number in range(20):
        echo(desk, b"%d" % number)
    # Two with one name would throw each other out for ever.
    assert "module down" not in board.device.console.text()


def test_an_unmodified_application_is_a_module_of_a_managed_board(make_board, broker, desk):
    local = LOCAL.format(config={"server": broker.host, "port": broker.port, "ssid": "elsewhere"})
    application = (APPS / "callbacks.py").read_bytes()
    files = {"/mqtt_local.py": local.encode(), "/callbacks.py": application}
    board = make_board(files=files, modules={"callbacks": {}})
    # Its asyncio.run, within that of the board, runs the board's tasks as well.
    board.device.wait_console("subscribed", timeout=PATIENCE)
    board.wait_settled()
    desk.publish("order/module", b"hello")
    board.device.wait_console("got b'order/module' b'hello' False", timeout=PATIENCE)
    assert board.eval("6 * 7") == "42"


def echo(desk, payload):
    """Publish until the module has answered: it may not have subscribed yet."""

    def answered():
        desk.publish("module/in", payload)
        return payload in desk.payloads("module/out")

    wait_until(answered, otherwise=lambda: f"no answer, only {desk.messages}")
