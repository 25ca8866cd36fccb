"""Writes packets to one stream at a time, from a send buffer that is allocated once.

A packet leaves in one write where it fits the send buffer. What is not written yet is state
(`_out`), so that a publish from plain code can finish another task's half-written packet before its
own, and so can the next task when one is cancelled half-way.

A stream has readinto(view) and write(view), both returning None when they would block,
wait_readable() and wait_writable() to await, wait_readable_now(ms) and wait_writable_now(ms) that
block, and close(). What
readinto leaves of a view it would have had to wait for: the reader need not ask again.
"""

import asyncio

from micropython import const

from mqboard.clock import ticks_ms
from mqboard.mqtt.packet import PUBREL, put_length

_TX_SIZE = const(1460)  # a TCP segment: one write
_PUBLISH = const(0x30)  # packet.PUBLISH, without looking it up for each message
_BLOCKING_WRITE_MS = const(10_000)
_ENOTCONN = const(128)
_ETIMEDOUT = const(110)


class Writer:
    """Compose, write_some, and if that leaves something, flush. Nothing is awaited between them,
    and nothing is composed while `busy`; so packets leave whole, in the order of composing."""

    def __init__(self):
        self._tx = memoryview(bytearray(_TX_SIZE))
        self._out = []  # views still to be written, in order
        self._written = 0  # bytes of the first that are, and are still to be taken off it
        self._packet = None  # the buffer of what is being composed
        self._start = None  # the first view of the PUBLISH composed last
        # One packet at a time, from composing to written. (asyncio.Lock is a module of its own,
        # 600 bytes of heap.)
        self.busy = False
        self._turn = asyncio.Event()
        self.stream = None
        self.last_tx = ticks_ms()

    def attach(self, stream):
        """Write to `stream` from now on."""
        self.stream = stream
        self._out = []
        self._written = 0
        self.last_tx = ticks_ms()

    def detach(self):
        """Close the stream, if there is one."""
        self._out = []
        self._written = 0
        if self.stream:
            self.stream.close()
            self.stream = None

    async def wait_turn(self):
        """Wait until nobody is at writing."""
        while self.busy:
            self._turn.clear()
            await self._turn.wait()

    def _end(self):
        """End the turn to write. What is not written (we were cancelled) is so later."""
        self.busy = False
        self._turn.set()
        for index, view in enumerate(self._out):
            if index and view is self._start:  # given up, and not begun (the first may be, in TLS)
                self._out = self._out[:index]
        if self._out:
            try:  # the buffers belong to whoever comes next
                self._out = [memoryview(bytes(view)) for view in self._out]
            except MemoryError:
                self.detach()  # half a packet is out: with nothing behind it, this is the end

    async def send(self, data):
        """Send a whole packet."""
        await self.wait_turn()
        self._out.append(memoryview(data))
        await self.flush()

    def at_rest(self):
        """Return whether nothing waits to be written."""
        return not self._out

    def send_soon(self, data):
        """Send a small packet without waiting, or not at all when other output is waiting."""
        if not self._out:
            self._out.append(memoryview(data))
            self.write_some()

    def send_now(self, data):
        """Send a whole packet; OSError when the socket takes nothing for 10 s."""
        self._flush_now()
        self._out.append(memoryview(data))
        self._flush_now()

    def send_publish_now(self, topic, payload):
        """Send a QoS 0 PUBLISH without awaiting; OSError when the socket takes nothing for 10 s."""
        self._flush_now()
        self.compose(0, topic, payload, 0)
        self._flush_now()

    def compose(self, flags, topic, payload, packet_id):
        """Put a PUBLISH into the send buffer, the payload's end behind it if it does not fit.

        `flags` are the low bits of its first byte; `topic` is the topic behind its length, in
        bytes; `packet_id` 0 means none.
        """
        # A function that needs more than 11 words for its variables and its stack gets them from
        # the heap, at every call. Those that each message goes through need no more than that.
        data = self._tx
        if self._out or len(topic) > _TX_SIZE - 7:
            data = _room_for(topic)
        self._packet = data
        data[0] = _PUBLISH | flags
        end = len(topic) + len(payload) + (2 if packet_id else 0)
        end = put_length(data, 1, end)
        end = _put(data, end, topic)
        if packet_id:
            data[end] = packet_id >> 8
            data[end + 1] = packet_id & 255
            end += 2
        self._add(end, payload)

    def _add(self, end, payload):
        """Have the packet up to `end` written, and the payload, which goes into it if it can."""
        data = self._packet
        if len(payload) <= len(data) - end:
            end = _put(data, end, payload)
            self._start = data[:end]
            self._out.append(self._start)
        else:
            payload = memoryview(payload)
            data[end:] = payload[: len(data) - end]
            self._start = data
            self._out.append(data)
            self._out.append(payload[len(data) - end :])

    def compose_release(self, packet_id):
        """Put a PUBREL into the send buffer."""
        self._out.append(memoryview(bytes((PUBREL, 2, packet_id >> 8, packet_id & 255))))

    async def flush(self):
        """Write what is composed; nobody else composes meanwhile. Call it only while not `busy`."""
        self.busy = True
        try:
            while self.write_some():
                await self.stream.wait_writable()
        finally:
            self._end()

    def _flush_now(self):
        while self.write_some():
            if not self.stream.wait_writable_now(_BLOCKING_WRITE_MS):
                raise OSError(_ETIMEDOUT)

    def write_some(self):
        """Write until the socket is full; return whether something is left."""
        stream = self.stream
        if not stream:
            raise OSError(_ENOTCONN)
        self.last_tx = ticks_ms()
        out = self._out
        while out:
            view = out[0]
            if not self._written:
                # Noted before any jump, which is where Ctrl-C breaks in: no byte goes out twice.
                self._written = stream.write(view)
                if self._written is None:
                    return True
            if self._written == len(view):
                out.pop(0)
                self._written = 0
            else:
                out[0] = view[self._written :]
                self._written = 0
        return False


def _put(data, start, piece):
    """Copy `piece` to `start` in `data`; return the position behind it."""
    end = start + len(piece)
    data[start:end] = piece
    return end


def _room_for(topic):
    """Return a buffer for what goes before a payload: rare, another packet is not quite written, or
    this topic is as long as the send buffer.
    """
    return memoryview(bytearray(7 + len(topic)))
