"""Packets in and out of one stream at a time: a receive buffer, a send buffer, allocated once.

Reading: the socket is read until it is empty, whole packets are handed on where they lie, and what
a packet's end is missing stays for the next read. Writing: a packet leaves in one write where it
fits the send buffer. What is not written yet is state (`_out`), so that a publish from plain code
(`publish_now`) can finish another task's half-written packet before its own.

A stream has readinto(view) and write(view), both returning None when they would block,
wait_readable() and wait_writable() to await, wait_writable_now(ms) that blocks, and close().
"""

import asyncio
import struct

from micropython import const

from mqboard import packet
from mqboard.clock import ticks_ms

_TX_SIZE = const(1024)
_ACKS = const(16)  # PUBACKs gathered into one write
_READS_PER_TURN = const(8)  # reads before other tasks get their turn
_BLOCKING_WRITE_MS = const(10_000)
_ENOTCONN = const(128)
_ETIMEDOUT = const(110)


class Framing:
    """Call attach(stream), then read_connack() and read_packets(); send from any task."""

    def __init__(self, rx_size):
        self.rx = memoryview(bytearray(rx_size))
        self._tx = memoryview(bytearray(_TX_SIZE))
        self._acks = memoryview(bytearray(4 * _ACKS))
        self._ack_size = 0
        self._out = []  # views still to be written, in order
        # One packet at a time, from composing to written: set while nobody is at it. (asyncio.Lock
        # is a module of its own, 600 bytes of heap.)
        self._free = asyncio.Event()
        self._free.set()
        self._stream = None
        self._skip = 0  # bytes of an oversized packet still to be passed over
        self._rest = None  # then a packet id to acknowledge, and so many bytes more
        self.oversized = 0  # received packets larger than the buffer, passed over
        self.last_rx = self.last_tx = ticks_ms()

    def attach(self, stream):
        """Work on `stream` from now on."""
        self._stream = stream
        self._out = []
        self._ack_size = 0
        self._skip = 0
        self._rest = None
        self.last_rx = self.last_tx = ticks_ms()

    def detach(self):
        """Close the stream, if there is one."""
        self._out = []
        if self._stream:
            self._stream.close()
            self._stream = None

    # Reading.

    async def read_connack(self):
        """Return (session present, return code) of the CONNACK; PacketError for anything else."""
        got = 0
        while got < 4:
            count = self._stream.readinto(self.rx[got:4])
            if count is None:
                await self._stream.wait_readable()
            elif count == 0:
                raise EOFError("broker closed the connection")
            else:
                got += count
        if self.rx[0] != packet.CONNACK or self.rx[1] != 2:
            raise packet.PacketError("the answer is not a CONNACK")
        return bool(self.rx[2] & 1), self.rx[3]

    async def read_packets(self, take):
        """Call take(first byte, body, stop) for each packet, positions in `rx`, until the end.

        Raises EOFError, OSError or PacketError: it returns in no other way.
        """
        stream = self._stream
        rx = self.rx
        end = reads = 0
        while True:
            count = stream.readinto(rx[end:] if end else rx)
            if count is None:
                if self._ack_size:
                    await self._send_acks()
                reads = 0
                await stream.wait_readable()
                continue
            if count == 0:
                raise EOFError("broker closed the connection")
            self.last_rx = ticks_ms()
            end += count
            while True:
                done = self._take_packets(end, take)
                end -= done
                if done and end:
                    rx[:end] = rx[done : done + end]
                if self._ack_size < len(self._acks):
                    break
                await self._send_acks()
            if end == len(rx):
                raise packet.PacketError("no packet in a full buffer")
            reads += 1
            if reads >= _READS_PER_TURN:
                reads = 0
                await asyncio.sleep(0)

    def acknowledge(self, position):
        """Queue a PUBACK for the packet id at `position` of `rx`."""
        size = self._ack_size
        self._acks[size] = packet.PUBACK
        self._acks[size + 1] = 2
        self._acks[size + 2 : size + 4] = self.rx[position : position + 2]
        self._ack_size = size + 4

    def _take_packets(self, end, take):
        """Hand on the complete packets in the first `end` bytes received; return the bytes used."""
        rx = self.rx
        position = 0
        while True:
            if self._skip:
                passed = min(self._skip, end - position)
                self._skip -= passed
                position += passed
            if self._rest is not None and not self._skip and end - position >= 2:
                self.acknowledge(position)
                position += 2
                self._skip, self._rest = self._rest, None
                continue
            if end - position < 2 or self._ack_size == len(self._acks):
                return position
            length, body = packet.get_length(rx, position + 1, end)
            if length < 0:
                return position
            stop = body + length
            if stop - position > len(rx):
                return self._take_oversized(position, body, stop, end)
            if stop > end:
                return position
            take(rx[position], body, stop)
            position = stop

    def _take_oversized(self, position, body, stop, end):
        """Pass over a packet that no buffer of ours can hold; acknowledge it so it stays away."""
        first = self.rx[position]
        qos = first >> 1 & 3
        if first & 0xF0 != packet.PUBLISH:
            raise packet.PacketError("oversized packet 0x%02x" % first)
        if end - body < 2:
            return position
        (topic_size,) = struct.unpack_from(">H", self.rx, body)
        behind = body + 2 + topic_size  # the packet id, or the payload
        if behind + 2 > stop:
            raise packet.PacketError("malformed PUBLISH")
        self.oversized += 1
        if not qos:
            self._skip = stop - end
            return end
        if behind > end:
            self._skip = behind - end
            self._rest = stop - behind - 2
            return end
        self._rest = stop - behind - 2
        return behind

    # Writing.

    async def send(self, data):
        """Send a whole packet."""
        await self._begin()
        try:
            self._out.append(memoryview(data))
            await self._flush()
        finally:
            self._free.set()

    def send_soon(self, data):
        """Send a small packet without waiting, or not at all when other output is waiting."""
        if not self._out:
            self._out.append(memoryview(data))
            self._write_some()
            self.last_tx = ticks_ms()

    async def send_publish(self, flags, topic, payload, packet_id):
        """Send a PUBLISH; `flags` are the low bits of its first byte; `packet_id` 0 means none."""
        await self._begin()
        try:
            self._compose_publish(flags, topic, payload, packet_id)
            await self._flush()
        finally:
            self._free.set()

    def send_publish_now(self, topic, payload):
        """Send a QoS 0 PUBLISH without awaiting; OSError when the socket takes nothing for 10 s."""
        self._flush_now()
        self._compose_publish(0, topic, payload, 0)
        self._flush_now()

    async def _send_acks(self):
        await self._begin()
        try:
            self._out.append(self._acks[: self._ack_size])
            await self._flush()
            self._ack_size = 0
        finally:
            self._free.set()

    async def _begin(self):
        """Wait for our turn to write; who returns from here sets `_free` when done."""
        while not self._free.is_set():
            await self._free.wait()
        self._free.clear()

    def _compose_publish(self, flags, topic, payload, packet_id):
        """Put a PUBLISH into the send buffer, the payload's end behind it if it does not fit."""
        tx = self._tx
        remaining = 2 + len(topic) + (2 if packet_id else 0) + len(payload)
        if 5 + remaining - len(payload) > _TX_SIZE:
            raise packet.PacketError("topic too long")
        tx[0] = packet.PUBLISH | flags
        position = packet.put_string(tx, packet.put_length(tx, 1, remaining), topic)
        if packet_id:
            struct.pack_into(">H", tx, position, packet_id)
            position += 2
        fits = min(len(payload), _TX_SIZE - position)
        body = memoryview(payload)
        tx[position : position + fits] = body[:fits]
        self._out.append(tx[: position + fits])
        if fits < len(payload):
            self._out.append(body[fits:])

    async def _flush(self):
        """Write what is in `_out`. The caller has its turn."""
        while self._write_some():
            await self._stream.wait_writable()
        self.last_tx = ticks_ms()

    def _flush_now(self):
        while self._write_some():
            if not self._stream.wait_writable_now(_BLOCKING_WRITE_MS):
                raise OSError(_ETIMEDOUT)

    def _write_some(self):
        """Write until the socket is full; return whether something is left."""
        if not self._stream:
            raise OSError(_ENOTCONN)
        out = self._out
        while out:
            count = self._stream.write(out[0])
            if count is None:
                return True
            if count == len(out[0]):
                out.pop(0)
            else:
                out[0] = out[0][count:]
        return False
