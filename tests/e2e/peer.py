"""Plays a broker that says only what it is told to say, for answers that no real one gives."""

import contextlib
import socket
import threading
import time

from waiting import wait_until

HOST = "127.0.0.1"


class Peer:
    """Listens on a free loopback `port`; `answer` is sent when a connection's first bytes came.

    `received` has what came, one bytearray per connection; `begun` the times of the connections.
    It answers pings, as long as `pongs` is true, and never ends a connection by itself.
    """

    def __init__(self, answer=b"\x20\x02\x00\x00"):
        self.answer = answer
        self.pongs = True
        self.received = []
        self.begun = []
        self._sockets = []
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def send(self, data):
        """Send to the newest connection."""
        self._sockets[-1].sendall(data)

    def wait(self, condition, timeout=20.0):
        """Wait until `condition(self)` holds."""
        wait_until(lambda: condition(self), timeout, lambda: f"the peer received {self.received}")

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._sockets.append(connection)
                self.received.append(bytearray())
                self.begun.append(time.monotonic())
                thread = threading.Thread(
                    target=self._serve, args=(connection, self.received[-1]), daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection, received):
        with contextlib.suppress(OSError):
            while data := connection.recv(65536):
                if not received:
                    connection.sendall(self.answer)
                elif data.endswith(b"\xc0\x00") and self.pongs:
                    connection.sendall(b"\xd0\x00")
                received.extend(data)
