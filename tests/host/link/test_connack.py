"""Tests that every CONNACK code that refuses us has a sentence that says what to do."""

import re
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager

import pytest

from mqhost.errors import BrokerError
from mqhost.link.connack import SENTENCES, refusal
from mqhost.link.connection import Connection
from mqhost.link.settings import Settings
from mqhost.sim.broker import Broker

ME = {"username": "me", "password": "secret"}
# MQTT 5, table 3-1: those that refuse.
KNOWN = {*range(128, 139), 140, 144, 149, 151, 153, 154, 155, 156, 157, 159}


@contextmanager
def refusing(code):
    """Answer every connection with a CONNACK of that code; give the port."""

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1024)
                connection.sendall(bytes((0x20, 2, 0, code)))
                connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        server.join(5)


def answer(port, **options):
    """Connect to the broker on `port`; return what that ends with."""
    with pytest.raises(BrokerError) as caught:
        Connection(Settings(port=port, prefix="a", **options)).connect()
    return str(caught.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "does not speak MQTT 3.1.1"),
        (2, "does not accept our client id"),
        (3, "not available right now"),
        (4, "does not accept the user name me"),
        (5, "does not accept the user name me"),
        (6, "gives no reason"),
        (255, "gives no reason"),
    ],
)
def test_the_codes_of_mqtt_3_1_1_are_explained(code, words):
    with refusing(code) as port:
        text = answer(port, **ME)
    assert f"The broker 127.0.0.1:{port} refused the connection: " in text
    assert words in text


def test_every_code_of_mqtt_5_has_its_own_sentence():
    assert SENTENCES.keys() == KNOWN - {134, 135}
    sentences = [refusal(code, Settings()) for code in KNOWN - {135}]
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert re.search(r"[.:)] [A-Z].*\.$", sentence), sentence
    assert "200" in refusal(200, Settings())


@pytest.mark.parametrize("code", [4, 5])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (ME, ["user name me with the password", "MQBOARD_PASSWORD"]),
        ({"username": "me"}, ["user name me without a password", "MQBOARD_PASSWORD"]),
        ({}, ["Give a user name and a password", "--username", "--cert"]),
    ],
)
def test_what_was_given_is_what_is_not_accepted(code, given, words):
    with refusing(code) as port:
        text = answer(port, **given)
    for word in words:
        assert word in text
    assert "secret" not in text
    assert ("Give a user name" in text) == (not given)


def test_a_certificate_that_was_given_is_named():
    text = refusal(135, Settings(cert="mine.pem", key="key.pem"))
    assert "client certificate mine.pem" in text


@pytest.fixture
def closed(tmp_path):
    """Run a mosquitto that knows the user me, whose password is right."""
    passwords = tmp_path / "passwords"
    program = shutil.which("mosquitto_passwd")
    assert program, "mosquitto comes with it"
    subprocess.run([program, "-b", "-c", passwords, "me", "right"], check=True)
    with Broker(extra=["allow_anonymous false", f"password_file {passwords}"]) as running:
        yield running


def test_a_real_broker_that_does_not_accept_the_password(closed):
    assert "does not accept the user name me with the password" in answer(closed.port, **ME)
    assert "Give a user name and a password" in answer(closed.port)
    right = Connection(Settings(port=closed.port, username="me", password="right"))
    right.connect()
    right.close()
