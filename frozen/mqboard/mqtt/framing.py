"""Packets in and out of one stream at a time: a receive buffer, a send buffer, allocated once.

Reading: the socket is read until it is empty, whole packets are handed on where they lie, and what
a packet's end is missing stays for the next read. A PUBLISH that the buffer cannot hold is handed
on piece by piece. Writing: a packet leaves in one write where it fits the send buffer. What is not
written yet is state (`_out`), so that a publish from plain code can finish another task's
half-written packet before its own, and so can the next task when one is cancelled half-way.

A stream has readinto(view) and write(view), both returning None when they would block,
wait_readable() and wait_writable() to await, wait_writable_now(ms) that blocks, and close().
"""

import asyncio
import struct

from micropython import const

from mqboard.clock import ticks_ms
from mqboard.mqtt import packet

_TX_SIZE = const(1280)  # a KB of payload and its topic: one write
_ACKS = const(16)  # acknowledgements gathered into one write
_READS_PER_TURN = const(8)  # reads before other tasks get their turn
_BLOCKING_WRITE_MS = const(10_000)
_VIEWS = const(4)
_ENOTCONN = const(128)
_ETIMEDOUT = const(110)


class Framing:
    """Call attach(stream), then read_connack() and read_packets(); send from any task.

    `buffer` is what the positions given to the taker refer to, `rx` the same as a memoryview.
    """

    def __init__(self, rx_size):
        self.buffer = bytearray(rx_size)
        self.rx = memoryview(self.buffer)
        self._tx = memoryview(bytearray(_TX_SIZE))
        self._acks = memoryview(bytearray(4 * _ACKS))
        self._ack_size = 0
        self._views = [self.rx] * _VIEWS
        self._starts = [0] * _VIEWS
        self._packet = self._tx  # what is being composed, up to `_fill`
        self._fill = 0
        self._out = []  # views still to be written, in order
        self._start = None  # the first view of the PUBLISH composed last
        # One packet at a time, from composing to written. (asyncio.Lock is a module of its own,
        # 600 bytes of heap.)
        self.busy = False
        self._turn = asyncio.Event()
        self.stream = None
        self.pause = False  # somebody asks for a turn for other tasks before the next packet
        self._left = 0  # of a large PUBLISH, this much is still to come
        self._large = 0  # its size
        self._first = 0  # the first byte of one that is passed over
        self._passed = 0  # how much is left of that one when its packet id comes; then 0
        self.last_rx = self.last_tx = ticks_ms()

    def attach(self, stream):
        """Work on `stream` from now on."""
        self.stream = stream
        self._out = []
        self._ack_size = 0
        self._left = self._first = 0
        self.last_rx = self.last_tx = ticks_ms()

    def detach(self):
        """Close the stream, if there is one."""
        self._out = []
        if self.stream:
            self.stream.close()
            self.stream = None

    # Reading.

    async def read_connack(self):
        """Return (session present, return code) of the CONNACK; PacketError for anything else."""
        got = 0
        while got < 4:
            count = self.stream.readinto(self.rx[got:4])
            if count is None:
                await self.stream.wait_readable()
            elif count == 0:
                raise EOFError("broker closed the connection")
            else:
                got += count
        kind, size, flags, code = self.buffer[:4]
        if kind != packet.CONNACK or size != 2 or flags > 1:
            raise packet.PacketError("the answer is not a CONNACK")
        return flags == 1, code

    async def read_packets(self, taker):
        """Hand on each packet to `taker` until the connection ends.

        `taker.take(first byte, body, stop)` gets a whole packet, as positions in `buffer`. A
        PUBLISH larger than that goes to `taker.open(first byte, body, stop)`, which returns where
        the payload starts, to `taker.piece(start, stop, position, total)` and `taker.close()`.
        Raises EOFError, OSError or PacketError: it returns in no other way.
        """
        stream = self.stream
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
                done = self.take_packets(end, taker)
                end -= done
                if done and end:
                    rx[:end] = rx[done : done + end]
                if self._ack_size == 4 * _ACKS:
                    await self._send_acks()
                elif self.pause:
                    await asyncio.sleep(0)
                else:
                    break
                self.pause = False
            if end == len(rx):
                raise packet.PacketError("no packet in a full buffer")
            reads += 1
            if reads >= _READS_PER_TURN:
                reads = 0
                await asyncio.sleep(0)

    def take_packets(self, end, taker):
        """Hand on the complete packets in the first `end` bytes received; return the bytes used."""
        buffer = self.buffer
        position = 0
        while self._ack_size < 4 * _ACKS and not self.pause:
            if self._left:
                before = position
                position = self._take_piece(position, end, taker)
                if position == before:
                    break
                continue
            if end - position < 2:
                break
            length = buffer[position + 1]
            body = position + 2
            if length > 127:  # the remaining length (2.2.3), in place: a call would cost a tuple
                length &= 127
                shift = 7
                while body < end and shift < 28:
                    byte = buffer[body]
                    body += 1
                    length |= (byte & 127) << shift
                    if byte < 128:
                        break
                    shift += 7
                else:
                    if shift > 21:
                        raise packet.PacketError("malformed remaining length")
                    break
            stop = body + length
            if stop <= end:
                taker.take(buffer[position], body, stop)
                position = stop
            elif stop - position <= len(buffer):
                break
            else:
                start = self._open_large(position, body, stop, end, taker)
                if start < 0:
                    break
                position = start
        return position

    def _open_large(self, position, body, stop, end, taker):
        """Begin with a packet that the buffer cannot hold; return where its payload starts.

        -1 when its beginning is not complete yet.
        """
        first = self.buffer[position]
        if first & 0xF0 != packet.PUBLISH:
            raise packet.PacketError("oversized packet 0x%02x" % first)
        if end - body < 2:
            return -1
        (topic_size,) = struct.unpack_from(">H", self.buffer, body)
        if body + topic_size + (4 if first & 6 else 2) > stop:
            raise packet.PacketError("malformed PUBLISH")
        if body - position + 4 + topic_size > len(self.buffer):
            # Nobody has subscribed to such a topic, only to a filter that matches it.
            self._left = stop - position
            self._passed = stop - body - 2 - topic_size if first & 6 else 0
            self._first = first
            return position
        if end - body < 4 + topic_size:
            return -1
        start = taker.open(first, body, stop)
        self._left = self._large = stop - start
        return start

    def _take_piece(self, position, end, taker):
        """Hand on what has come of a large payload; return the position behind it."""
        if self._first:
            return self._pass_over(position, end, taker)
        stop = min(end, position + self._left)
        if stop > position:
            taker.piece(position, stop, self._large - self._left, self._large)
            self._left -= stop - position
            if not self._left:
                taker.close()
        return stop

    def _pass_over(self, position, end, taker):
        """Pass over a PUBLISH whose topic the buffer cannot hold, but for its packet id."""
        if self._left == self._passed:  # here is the packet id
            if end - position < 2:
                return position
            buffer = self.buffer
            taker.pass_over(self._first, buffer[position] << 8 | buffer[position + 1])
            self._passed = 0
        stop = min(end, position + self._left - self._passed)
        self._left -= stop - position
        if not self._left:
            if not self._first & 6:
                taker.pass_over(self._first, 0)
            self._first = 0
        return stop

    def view(self, start, stop):
        """The bytes start:stop of the buffer. Made anew only when the last such view differed.

        Packets of one size come to lie at the same places read after read: then receiving them
        allocates nothing.
        """
        index = (start >> 10) % _VIEWS
        view = self._views[index]
        if self._starts[index] != start or len(view) != stop - start:
            self._views[index] = view = self.rx[start:stop]
            self._starts[index] = start
        return view

    def acknowledge(self, kind, packet_id):
        """Queue an acknowledgement (a packet of four bytes); only while packets are taken."""
        size = self._ack_size
        acks = self._acks
        acks[size] = kind
        acks[size + 1] = 2
        acks[size + 2] = packet_id >> 8
        acks[size + 3] = packet_id & 255
        self._ack_size = size + 4

    # Writing: compose, write_some, and if that leaves something, flush. Nothing is awaited between
    # them, and nothing is composed while `busy`; so packets leave whole, in the order of composing.

    async def wait_turn(self):
        """Wait until nobody is at writing."""
        while self.busy:
            self._turn.clear()
            await self._turn.wait()

    def _end(self):
        """The turn to write is over. What is not written (we were cancelled) is so later."""
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

    def send_soon(self, data):
        """Send a small packet without waiting, or not at all when other output is waiting."""
        if not self._out:
            self._out.append(memoryview(data))
            self.write_some()

    def send_publish_now(self, topic, payload):
        """Send a QoS 0 PUBLISH without awaiting; OSError when the socket takes nothing for 10 s."""
        self._flush_now()
        self.compose(0, topic, payload, 0)
        self._flush_now()

    async def _send_acks(self):
        await self.send(self._acks[: self._ack_size])
        self._ack_size = 0

    def compose(self, flags, topic, payload, packet_id):
        """Put a PUBLISH into the send buffer, the payload's end behind it if it does not fit.

        `flags` are the low bits of its first byte; `topic` is the topic behind its length, in
        bytes; `packet_id` 0 means none.
        """
        # These take no memory for their calls: at most 11 words each, see mqboard.mqtt.session.
        self._begin(flags, topic, payload, packet_id)
        self._put(topic)
        if packet_id:
            self._put_id(packet_id)
        self._put_payload(payload)

    def _begin(self, flags, topic, payload, packet_id):
        self._packet = self._tx
        if self._out or len(topic) > _TX_SIZE - 7:
            # Rare: another packet is not quite written, or this topic is as long as the buffer.
            self._packet = memoryview(bytearray(7 + len(topic)))
        self._packet[0] = packet.PUBLISH | flags
        self._fill = len(topic) + len(payload) + (2 if packet_id else 0)
        self._fill = packet.put_length(self._packet, 1, self._fill)

    def _put(self, data):
        end = self._fill + len(data)
        self._packet[self._fill : end] = data
        self._fill = end

    def _put_id(self, packet_id):
        self._packet[self._fill] = packet_id >> 8
        self._packet[self._fill + 1] = packet_id & 255
        self._fill += 2

    def _put_payload(self, payload):
        room = len(self._packet) - self._fill
        if len(payload) <= room:
            self._put(payload)
            self._start = self._packet[: self._fill]
            self._out.append(self._start)
        else:
            payload = memoryview(payload)
            self._put(payload[:room])
            self._start = self._packet
            self._out.append(self._start)
            self._out.append(payload[room:])

    def compose_release(self, packet_id):
        """Put a PUBREL into the send buffer."""
        self._out.append(memoryview(bytes((packet.PUBREL, 2, packet_id >> 8, packet_id & 255))))

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
        if not self.stream:
            raise OSError(_ENOTCONN)
        self.last_tx = ticks_ms()
        out = self._out
        while out:
            count = self.stream.write(out[0])
            if count is None:
                return True
            if count == len(out[0]):
                out.pop(0)
            else:
                out[0] = out[0][count:]
        return False
