"""Reads packets from one stream at a time, into a receive buffer that is allocated once.

The socket is read until it is empty, whole packets are handed on where they lie, and what a
packet's end is missing stays for the next read. A PUBLISH that the buffer cannot hold is handed on
piece by piece. Acknowledgements are gathered and leave in one write.
"""

import asyncio
import struct

from micropython import const

from mqboard.clock import ticks_ms
from mqboard.mqtt import packet

_ACKS = const(16)  # acknowledgements gathered into one write
_READS_PER_TURN = const(8)  # reads before other tasks get their turn
_VIEWS = const(4)


class Reader:
    """Reads from the stream that `writer` is attached to: attach(stream), then read_connack() and
    read_packets().

    `buffer` is what the positions given to the taker refer to, `rx` the same as a memoryview.
    """

    def __init__(self, rx_size, writer):
        self._writer = writer
        self.buffer = bytearray(rx_size)
        self.rx = memoryview(self.buffer)
        self._acks = memoryview(bytearray(4 * _ACKS))
        self._ack_size = 0
        self.acks_out = 0  # of them, these are being sent
        self.end = 0  # behind what is received and not taken; up to date while the reader waits
        self._views = [self.rx] * _VIEWS
        self._starts = [0] * _VIEWS
        self.pause = False  # somebody asks for a turn for other tasks before the next packet
        self.left = 0  # of a large PUBLISH, this much is still to come
        self._large = 0  # its size
        self._first = 0  # the first byte of one that is passed over
        self._passed = 0  # how much is left of that one when its packet id comes; then 0
        self.last_rx = ticks_ms()

    def attach(self, stream):
        """Work on `stream` from now on, and have the writer do so."""
        self._writer.attach(stream)
        self._ack_size = self.acks_out = 0
        self.left = self._first = self.end = 0
        self.last_rx = ticks_ms()

    async def read_connack(self):
        """Return (session present, return code) of the CONNACK; PacketError for anything else."""
        stream = self._writer.stream
        got = 0
        while got < 4:
            count = stream.readinto(self.rx[got:4])
            if count is None:
                await stream.wait_readable()
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
        stream = self._writer.stream
        rx = self.rx
        take = taker.take  # looked up once: `taker` has many names
        end = reads = 0  # others may have taken packets while we waited: see mqboard.mqtt.pump
        while True:
            room = rx[end:] if end else rx
            count = stream.readinto(room)
            if count:
                self.last_rx = ticks_ms()
                end += count
                while True:
                    done = self.take_packets(end, take, taker)
                    end -= done
                    if done and end:
                        rx[:end] = rx[done : done + end]
                    if self._ack_size == 4 * _ACKS:
                        self.end = end
                        await self._send_acks()
                    elif self.pause:
                        self.end = end
                        await asyncio.sleep(0)
                    else:
                        break
                    end = self.end
                    self.pause = False
                if end == len(rx):
                    raise packet.PacketError("no packet in a full buffer")
                if count == len(room):  # there may be more
                    reads += 1
                    if reads >= _READS_PER_TURN:
                        reads = 0
                        self.end = end
                        await asyncio.sleep(0)
                        end = self.end
                    continue
            elif count == 0:
                raise EOFError("broker closed the connection")
            self.end = end
            if self._ack_size:
                await self._send_acks()
            reads = 0
            await stream.wait_readable()
            end = self.end

    def take_packets(self, end, take, taker):
        """Hand on the complete packets in the first `end` bytes received; return the bytes used."""
        buffer = self.buffer
        position = 0
        while self._ack_size < 4 * _ACKS and not self.pause:
            if self.left:
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
                take(buffer[position], body, stop)
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
            self.left = stop - position
            self._passed = stop - body - 2 - topic_size if first & 6 else 0
            self._first = first
            return position
        if end - body < 4 + topic_size:
            return -1
        start = taker.open(first, body, stop)
        self.left = self._large = stop - start
        return start

    def _take_piece(self, position, end, taker):
        """Hand on what has come of a large payload; return the position behind it."""
        if self._first:
            return self._pass_over(position, end, taker)
        stop = min(end, position + self.left)
        if stop > position:
            taker.piece(position, stop, self._large - self.left, self._large)
            self.left -= stop - position
            if not self.left:
                taker.close()
        return stop

    def _pass_over(self, position, end, taker):
        """Pass over a PUBLISH whose topic the buffer cannot hold, but for its packet id."""
        if self.left == self._passed:  # here is the packet id
            if end - position < 2:
                return position
            taker.pass_over(self._first, self.number(position))
            self._passed = 0
        stop = min(end, position + self.left - self._passed)
        self.left -= stop - position
        if not self.left:
            if not self._first & 6:
                taker.pass_over(self._first, 0)
            self._first = 0
        return stop

    def number(self, position):
        """Return the u16 at `position` of the buffer."""
        return self.buffer[position] << 8 | self.buffer[position + 1]

    def view(self, start, stop):
        """Return the bytes start:stop of the buffer, a new view only when the last one differed.

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

    async def _send_acks(self):
        self.acks_out = self._ack_size
        await self._writer.send(self._acks[: self._ack_size])
        self._ack_size = self.acks_out = 0

    def take_acks(self):
        """Return the acknowledgements that nobody sends yet; whoever asks has to, at once."""
        acks = self._acks[self.acks_out : self._ack_size]
        self._ack_size = self.acks_out
        return acks
