"""Opens TCP and TLS streams for asyncio on MicroPython; makes the opener the MQTT client is given.

The stream shows the socket's own non-blocking readinto and write (None: would block), so that a
reader can read until it is empty without going through the event loop for each packet. TLS is in
mqboard.net.tls, which is loaded with the first context: not every port has the module tls.
"""

import asyncio
import select
import socket
from asyncio import core
from errno import ECONNREFUSED, EINPROGRESS

from micropython import const

from mqboard.clock import within

_IPPROTO_TCP = const(6)
_TCP_NODELAY = const(1)


class Stream:
    """Wraps a non-blocking socket. See mqboard.mqtt.writer for the interface.

    Whoever reads or writes goes on until that would block before he waits: with TLS, what waits is
    the socket, and mbedTLS may have more. A write that would block must be repeated with the same
    data.
    """

    def __init__(self, sock):
        self.socket = sock
        self.use(sock)

    def use(self, sock):
        """Read and write through `sock`, the TLS socket around ours."""
        self._top = sock
        self.readinto = sock.readinto
        self.write = sock.write

    async def connect(self, address):
        """Connect to the socket address `address`; raise OSError."""
        sock = self.socket
        sock.setblocking(False)
        try:
            # A small packet behind a large one would otherwise wait for the peer's delayed
            # acknowledgement (40 ms).
            sock.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
        except OSError:
            pass  # slower, not wrong
        try:
            sock.connect(address)
        except OSError as error:
            if error.errno != EINPROGRESS:
                raise
        await self.wait_writable()
        for _, event in self._poll(0, select.POLLOUT):
            if event & (select.POLLERR | select.POLLHUP):
                raise OSError(ECONNREFUSED)

    # async
    def wait_readable(self):
        yield core._io_queue.queue_read(self.socket)

    # async
    def wait_writable(self):
        yield core._io_queue.queue_write(self.socket)

    def wait_readable_now(self, timeout_ms):
        """Block until the socket has data; False when it had none within `timeout_ms`."""
        return bool(self._poll(timeout_ms, select.POLLIN))

    def wait_writable_now(self, timeout_ms):
        """Block until the socket takes data; False when it did not within `timeout_ms`."""
        return bool(self._poll(timeout_ms, select.POLLOUT))

    def _poll(self, timeout_ms, events):
        poller = select.poll()
        poller.register(self.socket, events | select.POLLERR | select.POLLHUP)
        return poller.poll(timeout_ms)

    def close(self):
        """Close the socket; who waits for it wakes up and finds it closed."""
        waiting = core._io_queue.map.get(id(self.socket))
        if waiting:
            for task in waiting[:2]:
                if task is not None:
                    core._task_queue.push(task)
            core._io_queue._dequeue(self.socket)
        self._top.close()
        self.socket.close()  # a TLS socket after an error has forgotten it


async def look_up(host, port, kind, server):
    """Look up a name as mqboard.net.dns does, which is loaded when it is needed."""
    from mqboard.net import dns

    return await dns.look_up(host, port, kind, server)


async def open_stream(host, port, context=None, server_hostname=None, timeout_s=15, dns=""):
    """Resolve, connect, do the TLS handshake if there is a `context`; return a Stream.

    The name is looked up anew each time, by the server at the address `dns` or else by the port,
    which may block. Its addresses are tried in turn; TCP and TLS have `timeout_s` each.
    `server_hostname` is the name in the certificate where it is not `host`. Raises OSError.
    """
    failure = None
    found = await look_up(host, port, socket.SOCK_STREAM, dns)
    for family, kind, protocol, _, address in found:
        stream = Stream(socket.socket(family, kind, protocol))
        step = "TCP"
        try:
            await within(timeout_s, stream.connect(address))
            if context:
                from mqboard.net.tls import secure

                step = "TLS"
                await within(timeout_s, secure(stream, context, server_hostname or host))
            return stream
        except asyncio.TimeoutError:
            stream.close()
            failure = OSError("%s: no answer in %d s" % (step, timeout_s))
        except BaseException as error:
            stream.close()
            if not isinstance(error, OSError):
                raise
            failure = error
    raise failure


def opener(link, host, port, make_context=None, server_hostname=None):
    """Return the opener for one broker: waits for the network, then opens a stream to it. Called
    with another host and port it opens one to that server, as our broker wants it.

    make_context() gives the SSLContext, once: it is called for the first connection, and again as
    long as it raises OSError. `link` may be None, or have no `dns`: see mqboard.net.link.
    """
    context = None

    async def open_when_up(*server):
        nonlocal context, make_context
        while link and not link.connected():
            await asyncio.sleep(0.1)
        if make_context:
            context = make_context()
            make_context = None
        dns = link.dns() if hasattr(link, "dns") else ""
        name = None if server else server_hostname
        return await open_stream(*(server or (host, port)), context, name, dns=dns)

    return open_when_up
