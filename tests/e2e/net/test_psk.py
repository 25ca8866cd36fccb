"""Tests TLS with a pre-shared key: MicroPython with tlspsk against mosquitto's psk_file."""

import json
import shutil
import socket
import subprocess

import pytest
from certificates import Authority

from mqhost.paths import FROZEN
from mqhost.sim.broker import HOST, Broker, free_port

CONNECT = "100c00044d5154540402000a0000"
CONNACK = "20020000"
KEY = "00112233445566778899aabbccddeeff" * 2
# With forward secrecy, and without: the broker decides.
CURVES, PLAIN = "ECDHE-PSK-AES128-CBC-SHA256", "PSK-AES128-GCM-SHA256"


def listener(port, ciphers):
    """Return lines for mosquitto.conf: one listener that takes pre-shared keys."""
    return [f"listener {port} {HOST}", "psk_hint mqboard", f"ciphers {ciphers}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("psk")
    (made / "keys").write_text(f"pump:{KEY}\nkurz:{KEY[:32]}\n")
    return made


@pytest.fixture(scope="module")
def broker(folder):
    """Run a broker with a plain port, and as `curves` and `simple` two for pre-shared keys."""
    curves, simple = free_port(), free_port()
    keys = [f"psk_file {folder / 'keys'}"]
    both = [*listener(curves, f"{CURVES}:{PLAIN}"), *listener(simple, PLAIN)]
    with Broker(extra=[*keys, *both]) as running:
        running.curves, running.simple = curves, simple
        yield running


@pytest.fixture
def probe(alone):
    """Give probe(port, identity, key) -> what clients/tls_probe.py prints."""
    shutil.copy(FROZEN / "mqboard" / "net" / "psk.py", alone / "mqboard" / "net")

    def run(port, identity="pump", key=KEY, **job):
        job = {"psk": [identity, key], "port": port, "host": HOST, "context": None} | job
        result = subprocess.run(
            [alone / "micropython", "-X", "heapsize=320k", alone / "tls_probe.py"],
            input=json.dumps(job | {"say": CONNECT, "size": 4}),
            env={"MICROPYPATH": str(alone)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        return lines if "count" in job else lines[0]

    return run


@pytest.mark.parametrize("identity", ["pump", "kurz"])
def test_who_has_the_key_gets_in(probe, broker, identity):
    key = KEY if identity == "pump" else KEY[:32]
    assert probe(broker.curves, identity, key)["answer"] == CONNACK
    assert probe(broker.simple, identity, key)["answer"] == CONNACK


def test_a_wrong_key_and_an_unknown_identity_are_told_apart(probe, broker):
    for port in (broker.curves, broker.simple):
        wrong = probe(port, key=KEY[:-1] + "0")["error"]
        assert wrong == "TLS: the server has another key for the identity pump"
        unknown = probe(port, "nobody")["error"]
        assert unknown == "TLS: the server does not know the identity nobody"


def test_a_broker_without_pre_shared_keys_is_named(probe, broker, tmp_path):
    with Broker(extra=Authority(tmp_path).listener(), tls=True) as other:
        assert "takes no pre-shared keys" in probe(other.port)["error"]
    assert "is this its port for pre-shared keys?" in probe(broker.port)["error"]


def test_what_no_broker_can_have_is_refused_before_anything_is_sent(probe, broker):
    for key in ("", "xy", KEY + "00" * 20):
        assert probe(broker.curves, key=key)["error"].startswith("TLS: pre-shared key: "), key


def test_a_silent_server_holds_nobody_up(probe):
    with socket.create_server((HOST, 0)) as silent:
        found = probe(silent.getsockname()[1], timeout=1)
    assert found["error"] == "TLS: no answer in 1 s" and found["ticks"] > 20


def test_failed_and_closed_connections_leave_nothing(probe, broker):
    good = probe(broker.curves, count=8)
    assert {one["answer"] for one in good} == {CONNACK}
    bad = probe(broker.curves, "nobody", count=20)
    assert {one["error"] for one in bad} == {"TLS: the server does not know the identity nobody"}
    for found in (good, bad):
        assert found[-1]["fds"] == found[1]["fds"]
