"""The connection to the broker: what arrives there that should not."""

from paho.mqtt.client import MQTTMessage

from mqhost.link.connection import Connection, Subscription
from mqhost.link.settings import Settings


def message(topic: bytes) -> MQTTMessage:
    """As paho makes it of a PUBLISH; mosquitto lets no such topic through, others may."""
    made = MQTTMessage(topic=topic)
    made.payload = b"payload"
    return made


def test_a_topic_that_is_not_utf_8_is_ignored():
    said, arrived = [], []
    connection = Connection(Settings(prefix="a"), said.append)
    connection.register(Subscription({"a/b": lambda payload, _: arrived.append(payload)}))
    connection._on_message(None, None, message(b"a/\xff"))
    connection._on_message(None, None, message(b"a/b"))
    assert (arrived, said) == ([b"payload"], ["< a/b 7 B"])
