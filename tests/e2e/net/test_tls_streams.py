"""Tests TLS as MicroPython's mbedTLS does it: mqboard.net against mosquitto, no board."""

import json
import shutil
import socket
import subprocess
import threading

import paho.mqtt.publish as publish
import pytest
from certificates import EXPIRED, FUTURE, Authority, der

from mqhost.paths import FROZEN
from mqhost.sim.broker import HOST, Broker, free_port

CONNECT = "100c00044d5154540402000a0000"
CONNACK = "20020000"
HANDSHAKE_MS = 8000  # a slow, noisy machine


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder):
    return Authority(folder)


@pytest.fixture(scope="module")
def stranger(folder):
    return Authority(folder, "stranger")


@pytest.fixture(scope="module")
def secure(authority):
    """Run a broker with a good certificate."""
    with Broker(extra=authority.listener(), tls=True) as broker:
        yield broker


@pytest.fixture
def probe(alone):
    """Give probe(port, context, **job) -> what clients/tls_probe.py prints."""
    shutil.copy(FROZEN / "mqboard" / "net" / "tls.py", alone / "mqboard" / "net")

    def run(port, context, host="localhost", say=CONNECT, size=4, **job):
        if context is not None:
            context = {key: value if value is True or value is False else str(value)
                       for key, value in context.items()}  # fmt: skip
        job |= {"port": port, "context": context, "host": host, "say": say, "size": size}
        result = subprocess.run(
            [alone / "micropython", "-X", "heapsize=320k", alone / "tls_probe.py"],
            input=json.dumps(job),
            env={"MICROPYPATH": str(alone)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        return lines if "count" in job else lines[0]

    return run


def test_a_broker_is_verified_and_reached(probe, secure, authority):
    found = probe(secure.port, {"ca": authority.ca})
    assert found["answer"] == CONNACK and found["ms"] < HANDSHAKE_MS


def test_without_tls_the_stream_is_the_same(probe, broker):
    assert probe(broker.port, None)["answer"] == CONNACK


@pytest.mark.parametrize("form", [lambda path: path.read_text(), None], ids=["PEM text", "DER"])
def test_a_ca_may_be_text_or_der(probe, secure, authority, tmp_path, form):
    ca = form(authority.ca) if form else tmp_path / "ca.der"
    if form is None:
        ca.write_bytes(der(authority.ca))
    assert probe(secure.port, {"ca": ca})["answer"] == CONNACK


@pytest.mark.parametrize(
    ("name", "valid", "words", "kind"),
    [
        ("elsewhere", None, "does not match", "OSError"),
        ("localhost", EXPIRED, "expired; by our clock it is 20", "ValidityError"),
        ("localhost", FUTURE, "starts in the future; by our clock it is 20", "ValidityError"),
    ],
    ids=["wrong name", "expired", "not yet valid"],
)
def test_what_is_wrong_with_a_certificate_is_said(probe, authority, name, valid, words, kind):
    lines = authority.listener(name, valid) if valid else authority.listener(name)
    with Broker(extra=lines, tls=True) as broker:
        found = probe(broker.port, {"ca": authority.ca})
    assert words in found["error"] and found["kind"] == kind


def test_an_unknown_authority_is_refused(probe, secure, stranger):
    assert "not correctly signed by the trusted CA" in probe(
        secure.port, {"ca": stranger.ca})["error"]  # fmt: skip


def test_the_name_in_the_certificate_may_be_given(probe, authority):
    with Broker(extra=authority.listener("elsewhere", kind="rsa"), tls=True) as broker:
        assert probe(broker.port, {"ca": authority.ca}, name="elsewhere")["answer"] == CONNACK


def test_without_verification_anybody_will_do(probe, authority, stranger):
    with Broker(extra=authority.listener("elsewhere", EXPIRED), tls=True) as broker:
        assert probe(broker.port, {"verify": False})["answer"] == CONNACK
        assert probe(broker.port, {"verify": False, "ca": stranger.ca})["answer"] == CONNACK


def test_a_client_certificate_is_shown_or_missed(probe, authority, stranger, tmp_path):
    lines = [*authority.listener(), f"cafile {authority.ca}", "require_certificate true"]
    with Broker(extra=lines, tls=True) as broker:
        for kind in ("ec", "rsa"):
            cert, key = authority.issue("board", kind=kind)
            given = {"ca": authority.ca, "cert": cert, "key": key}
            assert probe(broker.port, given)["answer"] == CONNACK
        for name, path in (("cert", cert), ("key", key)):
            given[name] = tmp_path / name
            given[name].write_bytes(der(path))
        assert probe(broker.port, given)["answer"] == CONNACK
        assert "client certificate" in probe(broker.port, {"ca": authority.ca})["error"]
        cert, key = stranger.issue("board")
        given = {"ca": authority.ca, "cert": cert, "key": key}
        assert "client certificate" in probe(broker.port, given)["error"]


def test_a_broker_that_refuses_a_password_says_so(probe, authority, tmp_path):
    (tmp_path / "users").write_text("")
    lines = [*authority.listener(), "allow_anonymous false", f"password_file {tmp_path}/users"]
    with Broker(extra=lines, tls=True) as broker:
        assert probe(broker.port, {"ca": authority.ca})["answer"] == "20020005"


def test_a_context_that_cannot_be_made_says_why(probe, authority, tmp_path):
    _, key = authority.issue("board")
    for context, words in (
        ({}, "no CA"),
        ({"ca": tmp_path / "nothing.pem"}, "nothing.pem cannot be read"),
        ({"ca": key}, "CA: invalid cert"),
        ({"ca": authority.ca, "cert": authority.ca, "key": authority.ca}, "its key: invalid key"),
    ):
        assert words in probe(1, context)["error"]


def test_a_port_without_tls_is_named(probe, broker, authority):
    assert "port for TLS" in probe(broker.port, {"ca": authority.ca})["error"]


def test_nobody_there_is_an_error_at_once(probe, authority):
    found = probe(free_port(), {"ca": authority.ca})
    assert "ECONNREFUSED" in found["error"] and found["ms"] < 2000


@pytest.fixture
def silent():
    """Give the port of a server that accepts connections and says nothing."""
    with socket.create_server((HOST, 0)) as server:
        taken = []

        def accept():
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in taken:
            connection.close()


def test_a_silent_server_freezes_nobody_and_costs_nothing(probe, silent, authority):
    found = probe(silent, {"ca": authority.ca}, host=HOST, timeout=1, count=4)
    assert all(one["error"] == "TLS: no answer in 1 s" for one in found)
    assert all(one["ticks"] > 50 for one in found)
    assert {one["fds"] for one in found} == {found[0]["fds"]}


def test_failed_and_closed_connections_leave_no_sockets(probe, secure, stranger, authority):
    for ca in (stranger.ca, authority.ca):
        found = probe(secure.port, {"ca": ca}, count=4)
        assert {one["fds"] for one in found} == {found[0]["fds"]}


def test_large_answers_come_whole(probe, secure, authority):
    """Records larger than what is read at a time: nothing stays behind in mbedTLS."""
    publish.single(
        "large",
        b"x" * 20_000,
        1,
        True,
        HOST,
        secure.port,
        tls={"ca_certs": str(authority.ca), "insecure": True},
    )
    subscribe = "820a000100056c6172676500"
    size = 4 + 5 + 1 + 3 + 7 + 20_000
    answer = probe(secure.port, {"ca": authority.ca}, say=CONNECT + subscribe, size=size)["answer"]
    assert answer.endswith("78" * 20_000) and len(answer) == 2 * size


def test_addresses_are_tried_in_turn(probe, secure, broker, stranger, authority):
    for first in (free_port(), broker.port):
        found = probe(secure.port, {"ca": authority.ca}, before=first)
        assert found["answer"] == CONNACK
