"""Tests the proxy that breaks connections on purpose: what it forwards, and what it does not."""

import contextlib
import socket

import pytest

from ci.proxies.faultproxy import HOST, FaultProxy


class Ends:
    """A broker's socket, a proxy to it, and the connections through it."""

    def __init__(self):
        self.cleanup = contextlib.ExitStack()
        self.target = self.cleanup.enter_context(socket.create_server((HOST, 0)))
        self.target.settimeout(10)
        self.proxy = self.cleanup.enter_context(FaultProxy(self.target.getsockname()[1]))

    def connect(self):
        """Return both ends of a new connection."""
        near = socket.create_connection((HOST, self.proxy.port), timeout=10)
        far, _ = self.target.accept()
        far.settimeout(10)
        for end in (near, far):
            self.cleanup.enter_context(end)
        return near, far


@pytest.fixture
def ends():
    made = Ends()
    with made.cleanup:
        yield made


def passes(one, other, word=b"word"):
    one.sendall(word)
    return other.recv(100) == word


def test_a_proxy_that_refuses_cuts_and_takes_nobody_until_it_is_mended(ends):
    near, far = ends.connect()
    assert passes(near, far) and passes(far, near)
    ends.proxy.refuse()
    assert near.recv(10) == far.recv(10) == b""
    with socket.create_connection((HOST, ends.proxy.port), timeout=10) as refused:
        assert refused.recv(10) == b""
    ends.proxy.refuse(False)
    assert passes(*ends.connect())


def test_a_frozen_proxy_keeps_connections_open_and_says_nothing(ends):
    near, far = ends.connect()
    assert passes(near, far)
    ends.proxy.freeze()
    near.sendall(b"into the void")
    far.settimeout(0.2)
    with pytest.raises(TimeoutError):
        far.recv(10)
    ends.proxy.thaw()
    assert passes(*ends.connect())
    with pytest.raises(TimeoutError):  # what was frozen stays dead
        far.recv(10)
