"""Connects the test itself to a broker, as the one that a board's client talks with."""

import threading

import paho.mqtt.client as paho

PATIENCE = 60.0


class HostClient:
    """A client at the broker on `port`, subscribed, while the `with` block does its work.

    `messages` has what came: (topic, payload, retained).
    """

    def __init__(self, port, topic_filter="#", client_id="", clean=True):
        self.messages = []
        self._news = threading.Condition()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, clean_session=clean)
        self._client.reconnect_delay_set(0.05, 0.2)
        self._client.max_inflight_messages_set(20)  # as many as the broker takes
        self._client.max_queued_messages_set(0)
        self._client.on_message = self._take
        self._client.on_connect = lambda *_: self._client.subscribe(topic_filter, 2)
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, topic, payload=b"", qos=1, retain=False):
        """Publish without waiting; returns what to wait with."""
        return self._client.publish(topic, payload, qos, retain)

    def publish(self, topic, payload=b"", qos=1, retain=False):
        """Publish, and wait until the broker has it."""
        self.send(topic, payload, qos, retain).wait_for_publish(PATIENCE)

    def payloads(self, topic):
        """Return the payloads that came on `topic`, in order."""
        return [payload for where, payload, _ in list(self.messages) if where == topic]

    def wait(self, topic, count=1):
        """Wait for `count` different payloads on `topic`; return all that came, in order."""
        self._wait(lambda: len(set(self.payloads(topic))) >= count, f"{count} on {topic}")
        return self.payloads(topic)

    def wait_payload(self, topic, payload):
        """Wait for a message on `topic` that says `payload`."""
        self._wait(lambda: payload in self.payloads(topic), f"{payload} on {topic}")

    def _wait(self, condition, wanted):
        with self._news:
            came = self._news.wait_for(condition, PATIENCE)
        assert came, f"no {wanted}; {len(self.messages)} messages, at last {self.messages[-10:]}"

    def _take(self, client, data, message):
        with self._news:
            self.messages.append((message.topic, message.payload, message.retain))
            self._news.notify_all()
