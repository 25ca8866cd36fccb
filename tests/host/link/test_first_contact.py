"""Tests what somebody reads whose first connection does not work, and that WebSockets do.

One mosquitto has a listener for each way in which a broker can be wrong.
"""

import re

import pytest
from certificates import EXPIRED, FUTURE, Authority
from commandline import command_line, here
from fakeboard import FakeBoard

from mqhost.link import unreachable
from mqhost.link.settings import Settings
from mqhost.sim.broker import Broker, free_port

SERVER = "localhost"  # the name in the good certificates


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def ports(authority, tmp_path_factory):
    """Run the broker; give its ports by what is special about them."""
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "stranger")
    lines = {
        "tls": authority.listener(),
        "other name": authority.listener("elsewhere"),
        "expired": authority.listener(valid=EXPIRED),
        "from the future": authority.listener(valid=FUTURE),
        "unknown CA": stranger.listener(),
        "strict": [*authority.listener(), f"cafile {authority.ca}", "require_certificate true"],
        "ws": ["protocol websockets"],
        "wss": ["protocol websockets", *authority.listener()],
    }
    found = {name: free_port() for name in lines}
    extra = []
    for name, more in lines.items():
        extra += [f"listener {found[name]} 127.0.0.1", *more]
    with Broker(extra=extra) as broker:
        yield found | {"plain": broker.port}


@pytest.fixture
def status(capsys, tmp_path, monkeypatch):
    """Give status(*options) -> how `mqboard … status` ends."""
    monkeypatch.chdir(tmp_path)

    def run(*options):
        line = command_line(0, "x", "-T", "1", *map(str, options), "status")
        return here(capsys, [*line[:3], *line[5:]])  # without --port

    return run


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other name", "Hostname mismatch.* Give the name that is in it: --server NAME"),
        ("expired", "certificate has expired. Whoever runs the broker must renew it, or this mac"),
        ("from the future", "not yet valid. .*this machine's clock is wrong: 2.* UTC"),
        ("unknown CA", "It was not signed by the CA in .*ca.pem. Give that of its CA: --ca FILE"),
        ("plain", "No TLS connection to the broker .*If this port has no TLS, .* --no-tls"),
        ("strict", "it closed the connection .* want a client certificate .--cert and --key"),
    ],
)
def test_what_is_wrong_with_tls_is_said_with_what_to_do(status, ports, authority, name, words):
    ended = status("--server", SERVER, "--port", ports[name], "--tls", "--ca", authority.ca)
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert re.search(words, line)


def test_an_address_is_no_name_in_the_certificate(status, ports, authority):
    ended = status("--server", f"127.0.0.1:{ports['tls']}", "--tls", "--ca", authority.ca)
    assert ended.returncode == 3
    assert "IP address mismatch" in ended.stderr and "--server NAME" in ended.stderr


def test_without_a_ca_the_one_that_is_needed_is_asked_for(status, ports):
    ended = status("--server", f"mqtts://{SERVER}:{ports['tls']}")
    assert ended.returncode == 3
    assert "Give the PEM file of the CA that signed it: --ca FILE" in ended.stderr


def test_a_client_certificate_that_is_not_taken_is_named(status, ports, authority):
    certificate, key = authority.issue("client", EXPIRED)
    broker = ["--server", f"mqtts://{SERVER}:{ports['strict']}", "--ca", authority.ca]
    ended = status(*broker, "--cert", certificate, "--key", key)
    assert ended.returncode == 3
    assert f"client certificate {certificate}: expired, or of a CA" in ended.stderr


@pytest.mark.parametrize("name", ["tls", "ws"])
def test_plain_mqtt_at_another_kind_of_port_is_told(status, ports, name):
    ended = status("--server", f"mqtt://{SERVER}:{ports[name]}")
    assert ended.returncode == 3
    assert "a port with TLS (--tls), or for WebSockets" in ended.stderr


@pytest.mark.parametrize(("scheme", "name"), [("ws", "plain"), ("ws", "wss")])
def test_what_is_no_websocket_is_told(status, ports, scheme, name):
    ended = status("--server", f"{scheme}://{SERVER}:{ports[name]}")
    assert ended.returncode == 3
    assert f"ws://{SERVER}:{ports[name]}/mqtt is no WebSocket of a broker" in ended.stderr
    assert "whether it is with TLS, wss://" in ended.stderr


def test_tls_to_a_websocket_without_it_is_told(status, ports, authority):
    ended = status("--server", f"wss://{SERVER}:{ports['ws']}", "--ca", authority.ca)
    assert ended.returncode == 3
    assert "speaks no TLS" in ended.stderr


def test_without_any_broker_it_is_said_where_to_name_one(tmp_path):
    refused = ConnectionRefusedError()
    nothing = Settings.resolve(environment={}, folder=tmp_path)
    told = unreachable.reason(refused, nothing)
    assert told.startswith("No broker is configured, and none runs here (127.0.0.1:1883).")
    assert "--server HOST, MQBOARD_SERVER, or server = " in told
    chosen = Settings.resolve({"server": "127.0.0.1"}, environment={}, folder=tmp_path)
    assert "Nothing listens on 127.0.0.1:1883" in unreachable.reason(refused, chosen)


def test_brokers_that_are_only_named_are_told_when_none_is_chosen(tmp_path):
    (tmp_path / "mqboard.toml").write_text('[brokers.farm]\nserver = "mqtt://farm.example"\n')
    told = unreachable.reason(
        ConnectionRefusedError(), Settings.resolve(environment={}, folder=tmp_path)
    )
    assert told.startswith("Which broker? None runs here (127.0.0.1:1883)")
    assert "names farm: say --broker farm, or" in told


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_board_is_managed_over_websockets(capsys, ports, authority, scheme, prefix):
    with FakeBoard(ports["plain"], prefix):
        server = f"{scheme}://{SERVER}:{ports[scheme]}"
        line = ["--server", server, "--ca", str(authority.ca), "--prefix", prefix]
        code = "'x' * 40_000"  # several messages, longer than a frame's short length
        ended = here(capsys, ["", "", "", *line, "eval", code])
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == repr("x" * 40_000) + "\n"
