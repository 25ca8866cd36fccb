"""Tests what the connection to the broker does with what should not arrive there, and leaves."""

from openfiles import open_files
from paho.mqtt.client import MQTTMessage

from mqhost.link.connection import Connection, Subscription
from mqhost.link.settings import Settings


def message(topic: bytes) -> MQTTMessage:
    """Make a message as paho does of a PUBLISH that mosquitto lets not through, others may."""
    made = MQTTMessage(topic=topic)
    made.payload = b"payload"
    return made


def test_a_topic_that_is_not_utf_8_is_ignored():
    said, arrived = [], []
    connection = Connection(Settings(prefix="a"), said.append)
    connection.register(Subscription({"a/b": lambda payload, _: arrived.append(payload)}))
    connection._on_message(None, None, message(b"a/\xff"))
    connection._on_message(None, None, message(b"a/b"))
    assert arrived == [b"payload"]
    (line,) = said
    assert line.endswith(" < a/b  7 B  payload")


def test_a_closed_connection_leaves_no_file_open(broker):
    connection = Connection(Settings(server=broker.host, port=broker.port, tls=False))
    before = open_files()
    for _ in range(2):
        connection.connect()
        connection.close()
        connection.close()
        assert open_files() <= before
