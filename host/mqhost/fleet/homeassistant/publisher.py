"""Publishes what a bridge has to say: of boards what has changed, of itself that it is there."""

import json
from contextlib import suppress
from typing import Any

from mqhost.fleet.homeassistant.device import Device
from mqhost.fleet.homeassistant.discovery import description
from mqhost.fleet.homeassistant.removal import clear
from mqhost.fleet.homeassistant.topics import Topics
from mqhost.link.connection import Connection

WHO = b"?"  # asks other bridges to say that they are alive
ONLINE, OFFLINE = "online", "offline"
_GOODBYE = 2.0


def word(name: str, state: str) -> bytes:
    """Return what the bridge `name` says of itself, or the broker after it."""
    return json.dumps({"state": state, "bridge": name}).encode()


class Publisher:
    """Publishes as the bridge `name`, of version `tool`; `url` tells people more of the images."""

    def __init__(
        self, connection: Connection, topics: Topics, name: str, tool: str, url: str
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._name, self._tool, self._url = name, tool, url

    def claim(self, device: Device) -> None:
        """Say that we are responsible for a board, also if we have said so before."""
        device.shown.clear()
        self._publish(device, "state", device.state(self._name))

    def show(self, device: Device) -> None:
        """Publish what has changed of a board that is ours to show."""
        self._publish(device, "state", device.state(self._name))
        if device.offer:
            self._publish(device, "update", device.update(self._url))
        topic = self._topics.config(device.ident)
        self._publish_changed(device, topic, description(device, self._topics, self._tool))

    def clear(self, ident: str) -> None:
        """Have Home Assistant forget a device."""
        clear(self._connection, self._topics, ident)

    def greet(self) -> None:
        """Say that we are there, and ask who else is."""
        self.online()
        self._connection.publish(self._topics.bridges, WHO)

    def online(self) -> None:
        """Say that what is pressed is heard."""
        self._connection.publish(self._topics.bridge, word(self._name, ONLINE), retain=True)

    def beat(self) -> None:
        """Tell other bridges that we are alive."""
        self._connection.publish(self._topics.bridges, self._name.encode())

    def goodbye(self) -> None:
        """Say that we are not there any more."""
        message = self._connection.publish(
            self._topics.bridge, word(self._name, OFFLINE), retain=True
        )
        if self._connection.connected:
            with suppress(RuntimeError, ValueError):  # the connection is lost at this very moment
                message.wait_for_publish(_GOODBYE)

    def _publish(self, device: Device, what: str, record: dict[str, Any]) -> None:
        self._publish_changed(device, self._topics.of(device.ident, what), record)

    def _publish_changed(self, device: Device, topic: str, record: dict[str, Any]) -> None:
        payload = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")
        if device.shown.get(topic) != payload:
            device.shown[topic] = payload
            self._connection.publish(topic, payload, retain=True)
