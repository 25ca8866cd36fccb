"""TCP and TLS streams for asyncio on MicroPython, and the opener the MQTT client is given.

The stream shows the socket's own non-blocking readinto and write (None: would block), so that a
reader can read until it is empty without going through the event loop for each packet.
"""

import asyncio
import select
import socket
from asyncio import core
from errno import EINPROGRESS

from micropython import const

_IPPROTO_TCP = const(6)
_TCP_NODELAY = const(1)


class Stream:
    """A connected, non-blocking socket. See mqboard.mqtt for the interface."""

    def __init__(self, sock):
        self._socket = sock
        self.readinto = sock.readinto
        self.write = sock.write

    # async
    def wait_readable(self):
        yield core._io_queue.queue_read(self._socket)

    # async
    def wait_writable(self):
        yield core._io_queue.queue_write(self._socket)

    def wait_writable_now(self, timeout_ms):
        """Block until the socket takes data; False when it did not within `timeout_ms`."""
        poller = select.poll()
        poller.register(self._socket, select.POLLOUT)
        return bool(poller.poll(timeout_ms))

    def close(self):
        """Close the socket; who waits for it wakes up and finds it closed."""
        waiting = core._io_queue.map.get(id(self._socket))
        if waiting:
            for task in waiting[:2]:
                if task is not None:
                    core._task_queue.push(task)
            core._io_queue._dequeue(self._socket)
        self._socket.close()


async def open_stream(host, port):
    """Resolve, connect without blocking, and return a Stream; raise OSError.

    The name is looked up anew each time. TCP_NODELAY is set because a small packet behind a
    large one would otherwise wait for the peer's delayed acknowledgement (40 ms).
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        try:
            sock.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
        except OSError:
            pass  # slower, not wrong
        try:
            sock.connect(address)
        except OSError as error:
            if error.errno != EINPROGRESS:
                raise
        stream = Stream(sock)
        await stream.wait_writable()
        return stream
    except BaseException:
        sock.close()
        raise


def opener(link, host, port):
    """Return the opener for one broker: waits for the network, then opens a stream to it."""

    async def open_when_up():
        while not link.connected():
            await asyncio.sleep(0.1)
        return await open_stream(host, port)

    return open_when_up
