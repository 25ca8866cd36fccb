"""Reads packets of MQTT 5: a CONNACK of any length, a large PUBLISH with its properties."""

from mqboard.mqtt.packet import CONNACK, PUBLISH, PacketError
from mqboard.mqtt.reader import Reader
from mqboard.mqtt5.properties import MALFORMED, Fault, read_length


class Reader5(Reader):
    """A Reader for both protocols: `level` says which."""

    level = 4

    async def read_first(self):
        """Read the packet that answers a CONNECT; return (body, stop), its place in `buffer`.
        PacketError when it is no CONNACK."""
        got = await self._fill(0, 2)
        if self.buffer[0] != CONNACK:
            raise PacketError("the answer is not a CONNACK")
        while self.buffer[got - 1] > 127:
            if got == 5:
                raise Fault(MALFORMED, "malformed remaining length")
            got = await self._fill(got, got + 1)
        size, body = read_length(self.buffer, 1, got)
        if body + size > len(self.buffer):
            raise PacketError("a CONNACK of %d bytes" % size)
        return body, await self._fill(body, body + size)

    async def _fill(self, got, need):
        stream = self._writer.stream
        while got < need:
            count = stream.readinto(self.rx[got:need])
            if count is None:
                await stream.wait_readable()
            elif count == 0:
                raise EOFError("broker closed the connection")
            else:
                got += count
        return got

    def _open_large(self, position, body, stop, end, taker):
        """Begin with a packet that the buffer cannot hold, as Reader does."""
        first = self.buffer[position]
        if self.level == 4 or first & 0xF0 != PUBLISH:
            return super()._open_large(position, body, stop, end, taker)
        if end - body < 2:
            return -1
        topic_size = self.number(body)
        place = body + 2 + topic_size + (2 if first & 6 else 0)  # of the properties
        if place >= stop:
            raise Fault(MALFORMED, "malformed PUBLISH")
        room = position + len(self.buffer)  # as far as can be seen of it at once
        if place + 4 <= room:
            if end < min(place + 4, stop):
                return -1
            size, start = read_length(self.buffer, place, stop)
            if start + size > stop:
                raise Fault(MALFORMED, "properties longer than their packet")
            if start + size <= room:
                if end < start + size:
                    return -1
                start = taker.open(first, body, stop)
                self.left = self._large = stop - start
                return start
        # Nobody who has little memory has subscribed to such a topic, or to such properties.
        self.left = stop - position
        self._passed = stop - body - 2 - topic_size if first & 6 else 0
        self._first = first
        return position
