"""Describes a board to Home Assistant: one message for the device and all of its entities.

The format is that of device based MQTT discovery, of which Home Assistant's documentation on the
MQTT integration tells, and its pages on MQTT sensors, buttons and updates. Names are written out
rather than abbreviated: so the messages can be read.
"""

from typing import Any

import mqwire
from mqhost.fleet.homeassistant.device import RESET_CAUSES, Device, shown_text
from mqhost.fleet.homeassistant.topics import INSTALL, RESTART, Topics, unique

ORIGIN = "MQBoard"
_DIAGNOSTIC = {"entity_category": "diagnostic"}
# A status that somebody has cleared, or that is none, is no board.
_STATE = "{{ value_json.state if value_json is mapping else 'offline' }}"

_SENSORS: dict[str, dict[str, Any]] = {
    "rssi": {
        "name": "Signal",
        "device_class": "signal_strength",
        "unit_of_measurement": "dBm",
        "state_class": "measurement",
    },
    "heap_free": {
        "name": "Free memory",
        "device_class": "data_size",
        "unit_of_measurement": "B",
        "state_class": "measurement",
    },
    "uptime_s": {
        "name": "Uptime",
        "device_class": "duration",
        "unit_of_measurement": "s",
        "state_class": "measurement",
    },
    "last_reset": {"name": "Last reset", "device_class": "timestamp"},
    "reset_cause": {
        "name": "Reset cause",
        "device_class": "enum",
        "options": list(RESET_CAUSES),
    },
}


def description(device: Device, topics: Topics, tool: str) -> dict[str, Any]:
    """Return what describes `device`; `tool` is the version of mqboard."""
    return {
        "device": _device(device),
        "origin": {"name": ORIGIN, "sw_version": tool},
        "availability": [
            {"topic": mqwire.status_topic(device.prefix), "value_template": _STATE},
            {"topic": topics.bridge, "value_template": _STATE},
        ],
        "availability_mode": "all",
        "qos": 1,
        "components": _components(device, topics),
    }


def described_status(record: Any) -> str:
    """Return the topic of the status of the board that `record` describes, "" if we have not
    written it.
    """
    if not isinstance(record, dict) or not isinstance(record.get("origin"), dict):
        return ""
    if record["origin"].get("name") != ORIGIN or not isinstance(record.get("availability"), list):
        return ""
    topics = [item.get("topic") for item in record["availability"] if isinstance(item, dict)]
    found = [topic for topic in topics if isinstance(topic, str)]
    return found[0] if found else ""


def _device(device: Device) -> dict[str, Any]:
    said = {
        "model": "board",
        "hw_version": "mcu",
        "sw_version": "version",
        "serial_number": "id",
    }
    words = {key: shown_text(device.facts.get(fact)) for key, fact in said.items()}
    return {
        "identifiers": [unique(device.ident)],
        "name": device.prefix,
        "manufacturer": ORIGIN,
    } | {key: word for key, word in words.items() if word}


def _components(device: Device, topics: Topics) -> dict[str, Any]:
    ident, state = device.ident, topics.of(device.ident, "state")
    found: dict[str, Any] = {
        key: {"platform": "sensor", "unique_id": unique(ident, key), "state_topic": state}
        | {"value_template": f"{{{{ value_json.{key} }}}}"}
        | _DIAGNOSTIC
        | about
        for key, about in _SENSORS.items()
    }
    pressed = {
        "json_attributes_topic": state,
        "json_attributes_template": "{{ {'result': value_json.result, "
        "'result_at': value_json.result_at} | tojson }}",
        "retain": False,
    }
    found[RESTART] = pressed | {
        "platform": "button",
        "unique_id": unique(ident, RESTART),
        "name": "Restart",
        "device_class": "restart",
        "entity_category": "config",
        "command_topic": topics.of(ident, RESTART),
        "payload_press": RESTART,
    }
    found["firmware"] = {"platform": "update"}  # nothing else: takes it away, if it was there
    if device.offer:
        found["firmware"] |= pressed | {
            "unique_id": unique(ident, "firmware"),
            "name": "Firmware",
            "device_class": "firmware",
            "entity_category": "config",
            "state_topic": topics.of(ident, "update"),
            "command_topic": topics.of(ident, INSTALL),
            "payload_install": INSTALL,
        }
    return found
