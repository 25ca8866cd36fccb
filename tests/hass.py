"""Plays Home Assistant's part in MQTT discovery, as its documentation describes it.

It subscribes to descriptions of devices, checks them, and all states, against the schemas of
hassschemas.py, renders their templates with Jinja, and presses what can be pressed.
"""

import contextlib
import json
import threading
from datetime import datetime

import jsonschema
from awesomeversion import AwesomeVersion, AwesomeVersionCompareException
from hassschemas import DEVICE, ENTITIES, SHARED, UPDATE_STATE
from jinja2.sandbox import ImmutableSandboxedEnvironment
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from waiting import wait_until

from mqhost.link.connection import tls_context

OBJECT_ID = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


class HomeAssistant:
    """One that is connected to the broker on `port`, or in `settings`, while the `with` block
    runs."""

    def __init__(self, port=None, discovery="homeassistant", settings=None):
        self.discovery = discovery
        self.devices = {}  # by the id in their topic: as described
        self.history = {}  # of each update entity: every state it took
        self.wrong = []  # what it would have logged as an error
        self._retained = {}  # the last payload by topic
        self._subscribed = set()
        self._lock = threading.Lock()
        self._jinja = ImmutableSandboxedEnvironment()
        self._jinja.filters["tojson"] = self._jinja.filters["to_json"] = json.dumps
        self._up = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(0.1, 0.5)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._up.set()
        self._client.on_message = self._on_message
        if settings:
            self._client.username_pw_set(settings.username, settings.password)
            self._client.tls_set_context(tls_context(settings))
            self._client.connect(settings.server, settings.port)
        else:
            self._client.connect("127.0.0.1", port)

    def __enter__(self):
        self._client.loop_start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()
        assert not self.wrong, self.wrong

    def _on_connect(self, client, *_):
        client.subscribe(f"{self.discovery}/device/+/config", 0)
        if self._subscribed:
            client.subscribe([(topic, 1) for topic in self._subscribed])
        client.publish(f"{self.discovery}/status", "online", 1)

    def _on_message(self, client, _, message):
        try:
            self._take(client, message.topic, bytes(message.payload))
        except Exception as error:
            self.wrong.append(f"{message.topic}: {message.payload[:300]!r}: {error!r}")

    def _take(self, client, topic, payload):
        head, tail = f"{self.discovery}/device/", "/config"
        if topic.startswith(head) and topic.endswith(tail):
            self._discover(client, topic.removeprefix(head).removesuffix(tail), payload)
            return
        with self._lock:
            self._retained[topic] = payload.decode()
        for ident, key, entity in self.entities():
            if entity.get("state_topic") == topic and payload:
                self._check(ident, key, entity, payload.decode())

    def _discover(self, client, ident, payload):
        assert set(ident) <= set(OBJECT_ID), ident
        if not payload:
            self.devices.pop(ident, None)
            return
        record = json.loads(payload)
        jsonschema.validate(record, DEVICE)
        components = {}
        for key, component in record["components"].items():
            if component.keys() == {"platform"}:
                continue  # takes away one that was there
            shared = {name: record[name] for name in SHARED if name in record}
            entity = shared | component
            jsonschema.validate(entity, ENTITIES[component["platform"]])
            components[key] = entity
        uniques = [
            entity["unique_id"]
            for other, device in self.devices.items()
            if other != ident
            for entity in device["components"].values()
        ] + [entity["unique_id"] for entity in components.values()]
        assert len(set(uniques)) == len(uniques), "an id that is there already"
        with self._lock:
            self.devices[ident] = record | {"components": components}
        if topics := _topics(self.devices[ident]) - self._subscribed:
            self._subscribed |= topics
            client.subscribe([(topic, 1) for topic in topics])

    def _check(self, ident, key, entity, payload):
        """Fail if it is no state for the entity."""
        if entity["platform"] == "update":
            record = json.loads(payload)
            jsonschema.validate(record, UPDATE_STATE)
            with self._lock:
                history = self.history.setdefault(ident, [])
                history.append((history[-1] if history else {}) | record)
            return
        value = self._render(entity["value_template"], payload)
        assert len(value) <= 255
        if value == "None":
            return
        if entity.get("state_class"):
            float(value)
        elif entity.get("device_class") == "timestamp":
            assert datetime.fromisoformat(value).tzinfo
        elif entity.get("options"):
            assert value in entity["options"], value

    def _render(self, template, payload):
        names = {"value": payload}
        with contextlib.suppress(ValueError):
            names["value_json"] = json.loads(payload)
        return self._jinja.from_string(template).render(names)

    # What a person sees and does

    def entities(self):
        """Return (device, key, entity) of all."""
        with self._lock:
            devices = dict(self.devices)
        return [
            (ident, key, entity)
            for ident, device in devices.items()
            for key, entity in device["components"].items()
        ]

    def state(self, ident, key):
        """Return what a sensor shows, None for nothing."""
        entity = self.devices[ident]["components"][key]
        payload = self._retained.get(entity["state_topic"])
        value = self._render(entity["value_template"], payload) if payload else "None"
        return None if value == "None" else value

    def available(self, ident, key="restart"):
        """Return whether an entity can be used."""
        entity = self.devices[ident]["components"][key]
        assert entity["availability_mode"] == "all"
        return all(
            self._render(item["value_template"], self._retained.get(item["topic"], "")) == "online"
            for item in entity["availability"]
        )

    def update(self, ident):
        """Return what the update entity last took."""
        return self.history.get(ident, [{}])[-1]

    def attributes(self, ident, key="restart"):
        entity = self.devices[ident]["components"][key]
        payload = self._retained.get(entity["json_attributes_topic"], "{}")
        return json.loads(self._render(entity["json_attributes_template"], payload))

    def offers_update(self, ident):
        """Return whether it says that there is an update."""
        record = self.update(ident)
        installed, latest = record.get("installed_version"), record.get("latest_version")
        if installed == latest or not installed:
            return False
        try:
            return AwesomeVersion(latest) > AwesomeVersion(installed)
        except AwesomeVersionCompareException:
            return True

    def press(self, ident, key="restart"):
        """Press a button, or Install."""
        entity = self.devices[ident]["components"][key]
        payload = entity.get("payload_press") or entity["payload_install"]
        self._client.publish(entity["command_topic"], payload, entity["qos"], entity["retain"])

    def publish(self, topic, payload, retain=False):
        self._client.publish(topic, payload, 1, retain).wait_for_publish(10)

    def remove(self, ident):
        """Delete the device, as its page does."""
        self.publish(f"{self.discovery}/device/{ident}/config", b"", True)

    def wait(self, condition, timeout=20.0):
        """Wait until `condition()` is true; fail with what is known."""

        def told():
            return f"{self.wrong}\n{self.devices}\n{self.history}\n{self._retained}"

        return wait_until(lambda: self.wrong or condition(), timeout, told)


def _topics(device):
    topics = {item["topic"] for item in device.get("availability", [])}
    for entity in device["components"].values():
        topics |= {entity[key] for key in ("state_topic", "json_attributes_topic") if key in entity}
    return topics
