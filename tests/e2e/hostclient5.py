"""Connects the test itself to a broker by MQTT 5, to see the properties of messages."""

import threading

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from waiting import wait_until

PATIENCE = 20.0


class HostClient5:
    """A client at the broker on `port`, subscribed, while the `with` block does its work.

    `messages` has what came, as paho's messages.
    """

    def __init__(self, port, topic_filter):
        self.messages = []
        version = paho.CallbackAPIVersion.VERSION2
        self.client = paho.Client(version, protocol=paho.MQTTv5)
        self.client.on_message = lambda _, __, message: self.messages.append(message)
        ready = threading.Event()
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe(topic_filter, 2)
        assert ready.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def of(self, topic):
        """Return the messages that came on `topic`."""
        return [message for message in list(self.messages) if message.topic == topic]

    def wait(self, count):
        """Wait for so many messages, and return all."""
        wait_until(lambda: len(self.messages) >= count, PATIENCE, lambda: str(self.messages))
        return self.messages

    def publish(self, topic, payload, qos=1, **given):
        """Publish with the properties `given` by paho's names; wait until the broker has it."""
        properties = Properties(PacketTypes.PUBLISH)
        for name, value in given.items():
            setattr(properties, name, value)
        info = self.client.publish(topic, payload, qos, properties=properties)
        info.wait_for_publish(PATIENCE)
