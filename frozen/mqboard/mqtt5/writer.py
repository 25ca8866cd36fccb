"""Writes packets of MQTT 5: a PUBLISH has its properties behind the packet id."""

from micropython import const

from mqboard.mqtt.packet import PUBLISH, put_length
from mqboard.mqtt.writer import Writer
from mqboard.mqtt5.properties import NONE

_TX_SIZE = const(1460)  # of the send buffer, see mqboard.mqtt.writer
_HEAD = const(7)  # a PUBLISH's first byte, length and packet id


class Writer5(Writer):
    """A Writer for both protocols: `level` says which."""

    level = 5

    def __init__(self):
        super().__init__()
        self.on_dropped = None  # called when a packet that was composed does not leave

    def compose(self, flags, topic, payload, packet_id, properties=NONE):
        """Put a PUBLISH into the send buffer, as Writer does; `properties` are encoded."""
        if self.level == 4:
            return super().compose(flags, topic, payload, packet_id)
        data = self._tx
        need = _HEAD + len(topic) + len(properties)
        if self._out or need > _TX_SIZE:
            data = memoryview(bytearray(need))
        self._packet = data
        data[0] = PUBLISH | flags
        end = len(topic) + len(properties) + len(payload) + (2 if packet_id else 0)
        end = put_length(data, 1, end)
        data[end : end + len(topic)] = topic
        end += len(topic)
        if packet_id:
            data[end] = packet_id >> 8
            data[end + 1] = packet_id & 255
            end += 2
        data[end : end + len(properties)] = properties
        self._add(end + len(properties), payload)

    def _end(self):
        waiting = len(self._out)
        super()._end()
        if len(self._out) < waiting and self.on_dropped:
            self.on_dropped()
