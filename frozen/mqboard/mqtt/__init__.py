"""Speaks MQTT as a client: a function that opens a stream goes in, messages go in and out.

It knows nothing of a board: `client` holds the connection, `session` what outlives it,
`framing` and `packet` turn packets into bytes.
"""

from mqboard.mqtt.client import Client as Client
from mqboard.mqtt.client import MqttError as MqttError
