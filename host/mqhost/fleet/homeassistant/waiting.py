"""Leaves the note "an update is waiting" at boards that are offline when somebody presses Install,
and takes it away when the board has had its turn, or this bridge ends.
"""

import contextlib
import time

from paho.mqtt.client import MQTTMessageInfo

from mqhost.fleet.homeassistant.device import Device
from mqhost.fleet.rollout.notes import pack
from mqhost.link.connection import Connection
from mqwire import waiting

BY = "home assistant"
_FLUSH = 2.0  # seconds


class Waiting:
    """The notes of one bridge, over its `connection`. `patience`: for so many seconds a board that
    is offline is waited for.
    """

    def __init__(self, connection: Connection, patience: float) -> None:
        self._connection = connection
        self._patience = patience
        self._there: dict[str, tuple[str, bytes]] = {}  # prefix and note, by the board's id

    def look(self, device: Device) -> None:
        """Have the note at a board be as is wanted: one that has come back keeps it until its
        update has ended."""
        prefix, before = self._there.get(device.ident, ("", b""))
        if prefix and prefix != device.prefix:
            self.clear(device)
        if device.wanted and device.offer and (prefix or not device.online):
            note = pack(device.offer, device.wanted_at + self._patience, BY)
            if (prefix, before) != (device.prefix, note):
                self._there[device.ident] = device.prefix, note
                self._publish(device.prefix, note)
        elif prefix:
            self.clear(device)

    def clear(self, device: Device) -> None:
        """Take the note at a board away, if there is one of ours."""
        prefix, _ = self._there.pop(device.ident, ("", b""))
        if prefix:
            self._publish(prefix, b"")

    def again(self) -> None:
        """Leave all of them anew: the broker may have forgotten them."""
        for prefix, note in self._there.values():
            self._publish(prefix, note)

    def withdraw(self) -> None:
        """Take all away, and wait until the broker has done so."""
        sent = [self._publish(prefix, b"") for prefix, _ in self._there.values()]
        self._there.clear()
        deadline = time.monotonic() + _FLUSH
        for message in sent:
            with contextlib.suppress(RuntimeError, ValueError):  # without a connection
                message.wait_for_publish(max(0.0, deadline - time.monotonic()))

    def _publish(self, prefix: str, note: bytes) -> MQTTMessageInfo:
        return self._connection.publish(waiting.topic(prefix), note, retain=True)
