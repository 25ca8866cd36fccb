"""Tests the proxy that makes a link slow: all comes, late, and any number of bytes at a time."""

import socket
import threading
import time

from ci.proxies.delayproxy import HOST, DelayProxy

_SECONDS = 0.2


def echoing(server):
    """Send back what the one client of `server` sends, until it ends."""
    peer, _ = server.accept()
    with peer:
        while data := peer.recv(65536):
            peer.sendall(data)


def test_each_way_takes_its_time_and_pieces_do_not_wait_for_each_other():
    with socket.create_server((HOST, 0)) as server:
        threading.Thread(target=echoing, args=[server], daemon=True).start()
        with (
            DelayProxy(server.getsockname()[1], _SECONDS) as proxy,
            socket.create_connection((HOST, proxy.port)) as client,
        ):
            client.settimeout(20)
            began = time.monotonic()
            for number in range(60):
                client.sendall(bytes([number]) * 1000)
                time.sleep(_SECONDS / 60)
            client.shutdown(socket.SHUT_WR)
            came = b""
            while data := client.recv(65536):
                if not came:
                    assert time.monotonic() - began >= 2 * _SECONDS
                came += data
            # Pieces that wait for each other would have taken sixty times as long.
            assert time.monotonic() - began < 45 * _SECONDS
        assert came == b"".join(bytes([number]) * 1000 for number in range(60))


def test_a_server_that_is_not_there_ends_the_connection():
    with socket.create_server((HOST, 0)) as server:
        gone = server.getsockname()[1]
    with DelayProxy(gone, 0) as proxy:
        for _ in range(2):
            with socket.create_connection((HOST, proxy.port), 20) as client:
                assert client.recv(10) == b""
