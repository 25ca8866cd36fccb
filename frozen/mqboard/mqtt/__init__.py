"""Speaks MQTT as a client: a function that opens a stream goes in, messages go in and out.

It knows nothing of a board. `client` is what others call, `connection` keeps the connection up,
`session` and `outbox` keep what outlives one, `reader`, `writer` and `packet` turn packets into
bytes and back, `inbox` and `window` are for whoever takes his time or is in a hurry.
"""

from mqboard.mqtt.client import Client as Client
from mqboard.mqtt.connection import MqttError as MqttError
