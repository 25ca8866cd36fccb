"""Makes a link slow: a TCP proxy that holds each byte back for a time, in both directions.

Unlike the delays of faultproxy.py, which hold a piece back before the next one is read, any number
of bytes may be on their way, as on a real line.
"""

import contextlib
import queue
import socket
import threading
import time

HOST = "127.0.0.1"
_PIECE = 65536


class DelayProxy:
    """Listens on a free loopback `port` and connects each client to `target`, a broker's port, with
    `seconds` each way. Use it as a context manager.
    """

    def __init__(self, target: int, seconds: float) -> None:
        self.target = target
        self.seconds = seconds
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> "DelayProxy":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # Not only closed: who waits in accept or recv would go on waiting.
        for sock in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(10)

    def passes(self, data: bytes) -> None:
        """Take note of a piece that has come, from either side; for who counts them."""

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((HOST, self.target))
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                held: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                for work, sock in ((self._take, source), (self._give, sink)):
                    thread = threading.Thread(target=work, args=[sock, held], daemon=True)
                    thread.start()
                    self._threads.append(thread)

    def _take(self, source: socket.socket, held: "queue.SimpleQueue[tuple[float, bytes]]") -> None:
        data = b"more"
        while data:
            try:
                data = source.recv(_PIECE)
            except OSError:
                data = b""
            self.passes(data)
            held.put((time.monotonic() + self.seconds, data))

    def _give(self, sink: socket.socket, held: "queue.SimpleQueue[tuple[float, bytes]]") -> None:
        """Send what was taken when it is time; the end of it, too."""
        while True:
            due, data = held.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
            except OSError:
                return
