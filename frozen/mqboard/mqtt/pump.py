"""Serves the connection for code that lets nobody else run: looks what has come, takes it, pings.

`Pump` may be used wherever the reader is not at work, between two bytecodes of other code: by that
code itself, or by a timer's callback. It leaves reader and writer as they would have been had they
done it themselves. Loaded for that, and not kept.
"""

from mqboard.clock import ticks_diff, ticks_ms
from mqboard.mqtt import packet


class Pump:
    """Works on `client`, a mqboard.mqtt.Client."""

    def __init__(self, client):
        self._client = client
        self.busy = False  # in the middle of it: nobody may break in

    def peek(self, found):
        """Read what has come, without taking any of it, and call found(topic, payload) for each
        whole PUBLISH that waits: both are views, valid until it returns.
        """
        reader = self._client.reader
        self._read(reader)
        if reader.left:  # in the middle of a large one
            return
        buffer, rx = reader.buffer, reader.rx
        position, end = 0, reader.end
        while end - position >= 2:
            size = shift = 0
            body = position + 1
            while True:
                byte = buffer[body]
                body += 1
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128 or body == end:
                    break
            stop = body + size
            if stop > end:
                return
            first = buffer[position]
            if first & 0xF0 == packet.PUBLISH and size > 2:
                start = body + 2 + reader.number(body)
                payload = start + 2 if first & 6 else start
                if self._client.level > 4:
                    payload = self._client.behind_properties(payload, stop)
                if payload <= stop:
                    found(rx[body + 2 : start], rx[payload:stop])
            position = stop

    def take(self, ms):
        """Take what has come, as the reader would; wait up to `ms` if there is nothing."""
        client = self._client
        reader, writer = client.reader, client.writer
        if self.busy or not client.connected:
            return
        self.busy = True
        try:
            count = self._read(reader)
            if count is None and not reader.end:
                writer.stream.wait_readable_now(ms)
                count = self._read(reader)
            reader.pause = False
            done = reader.take_packets(reader.end, client.take, client)
            reader.end -= done
            if done and reader.end:
                reader.rx[: reader.end] = reader.rx[done : done + reader.end]
            acks = reader.take_acks()
            if acks and client.connected:
                writer.send_now(acks)
            if count == 0:
                raise EOFError("broker closed the connection")
        except (OSError, EOFError, packet.PacketError) as error:
            client._lose(error)
        finally:
            self.busy = False

    def connected(self):
        """Return whether there is a connection."""
        return self._client.connected

    async def drain(self):
        """Wait until all is written that waits for it, or the connection is lost."""
        client = self._client
        try:
            if client.writer.busy:
                await client.writer.wait_turn()
            else:
                await client.writer.flush()
        except OSError as error:
            client._lose(error)

    def at_rest(self):
        """Return whether a packet could be written now: others are not in the middle of one."""
        client = self._client
        return client.connected and not client.outbox.careful and client.writer.at_rest()

    def publish(self, topic, payload):
        """Publish at QoS 0 when all is `at_rest`, past whoever composes a packet right now."""
        head = packet.topic_head(topic)
        if self._client.level > 4:
            head += b"\0"  # no properties
        size = len(head) + len(payload)
        data = bytearray(1 + packet.length_size(size))
        data[0] = packet.PUBLISH
        packet.put_length(data, 1, size)
        self._client.writer.send_soon(bytes(data) + head + payload)

    def ping(self):
        """Ping if that is due, and nothing waits to be written."""
        client = self._client
        half = int(client.keepalive * 500)
        if half and client.connected and ticks_diff(ticks_ms(), client.writer.last_tx) >= half:
            client.writer.send_soon(bytes((packet.PINGREQ, 0)))

    def _read(self, reader):
        """Read once into what room there is in the reader's buffer; return the number of bytes: 0
        at the end of the stream, None if there is nothing.
        """
        stream = self._client.writer.stream
        if not stream or reader.end == len(reader.rx):
            return None
        count = stream.readinto(reader.rx[reader.end :])
        if count:
            reader.last_rx = ticks_ms()
            reader.end += count
        return count
