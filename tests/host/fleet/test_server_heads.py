"""Tests that a server closes connections on which no whole request comes, and no other one."""

import socket
from contextlib import ExitStack

import pytest
from serving import Served

from mqhost.fleet.server.door import heads

HALF = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Half: "
WHOLE = HALF + b"no\r\n\r\n"


@pytest.fixture
def connect(broker, tmp_path, monkeypatch):
    """Give connect(what is sent) -> a connection to a server that is in a hurry."""
    monkeypatch.setattr(heads, "HEAD_S", 0.5)
    with ExitStack() as stack:
        served = stack.enter_context(Served(broker, tmp_path / "fleet.db"))
        port = served.fleet.access.port

        def connected(sent):
            connection = socket.create_connection(("127.0.0.1", port), 20)
            stack.enter_context(connection)
            connection.sendall(sent % port if sent else b"")
            return connection

        yield connected


@pytest.mark.parametrize("sent", [b"", HALF])
def test_who_asks_nothing_is_shown_out(connect, sent):
    assert connect(sent).recv(100) == b""


def test_a_second_request_that_never_ends_is_none_either(connect):
    connection = connect(WHOLE)
    assert b"200" in connection.recv(1000)
    connection.sendall(b"GET /hea")
    while connection.recv(1000):
        pass


def test_an_answer_that_takes_longer_than_a_request_may_is_not_cut_off(connect):
    connection = connect(WHOLE.replace(b"/healthz", b"/api/events"))
    assert b"200" in connection.recv(1000)
    connection.settimeout(1.5)
    with pytest.raises(TimeoutError):
        while connection.recv(1000):
            pass
