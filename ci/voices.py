"""Says how boards are of which nothing else is needed: retained statuses at a broker."""

import json
import random
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho

import mqwire
from mqhost.sim.broker import Broker

_PLACES = ("north", "south", "hill", "river", "barn", "yard")
_THINGS = ("pump", "gate", "tank", "valve", "light", "meter")
_TYPES = ("esp32", "esp32", "esp32s3", "esp32c3")
_VERSIONS = ("1.4.0", "1.4.0", "1.4.0", "1.3.2")
_WAIT = 20.0  # seconds
_FACTS: dict[str, Any] = {
    "state": mqwire.ONLINE,
    "board": "esp32",
    "mcu": "esp32",
    "version": "1.4.0",
    "slot": "ota_0",
    "slot_state": "valid",
    "mode": "normal",
    "reset_cause": "power-on",
    "signing": "required",
}


class Voices:
    """Speaks for boards at `broker` while the `with` block runs."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)

    def __enter__(self) -> "Voices":
        self._client.connect(self._broker.host, self._broker.port)
        self._client.loop_start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, prefix: str, **facts: Any) -> None:
        """Have the broker remember that the board at `prefix` is so, besides the usual."""
        self._publish(mqwire.status_topic(prefix), json.dumps(_FACTS | facts))

    def forget(self, prefix: str) -> None:
        """Have the broker remember nothing of the board at `prefix`."""
        self._publish(mqwire.status_topic(prefix), "")

    def crash(self, prefix: str, **record: Any) -> None:
        """Tell of a boot of the board at `prefix` that ended badly."""
        self._publish(mqwire.crash_topic(prefix), json.dumps(record), retain=False)

    def farm(self, count: int) -> list[str]:
        """Speak for `count` boards, the same ones each time, some in trouble; return their
        prefixes."""
        chance = random.Random(7)
        prefixes = []
        for number in range(count):
            place, thing = _PLACES[number % 6], _THINGS[number // 6 % 6]
            prefix = f"farm/{place}/{thing}-{number // 36 + 1:02}"
            self.say(prefix, **_facts(chance, number))
            prefixes.append(prefix)
        return prefixes

    def _publish(self, topic: str, text: str, retain: bool = True) -> None:
        self._client.publish(topic, text, qos=1, retain=retain).wait_for_publish(_WAIT)


def _facts(chance: random.Random, number: int) -> dict[str, Any]:
    kind, luck = chance.choice(_TYPES), chance.random()
    facts: dict[str, Any] = {"board": kind, "mcu": kind, "version": chance.choice(_VERSIONS)}
    facts |= {"id": f"240ac4{number:06x}", "rssi": -chance.randint(44, 86)}
    if luck < 0.05:
        return facts | {"state": mqwire.OFFLINE, "reason": "connection lost"}
    if luck < 0.07:
        return facts | {"crashes": chance.randint(1, 4)}
    if luck < 0.08:
        return facts | {"mode": "safe", "crashes": 3}
    if luck < 0.1:
        return facts | {
            "failed": {"version": "1.5.0", "code": 7, "reason": "not reachable with it"}
        }
    return facts
