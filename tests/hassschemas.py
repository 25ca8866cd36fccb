"""Says what Home Assistant takes, as JSON Schemas of our own.

Sources: the pages "MQTT" (device discovery payload, origin, device, availability), "MQTT Sensor",
"MQTT Button" and "MQTT Update" of its documentation, and the device classes on "Sensor", "Button"
and "Update". A key that these pages do not have is an error here; Home Assistant would ignore it,
and nobody would see the typo.
"""

TEXT = {"type": "string", "minLength": 1}
TEMPLATE = {"type": "string", "pattern": r"\{\{.*\}\}"}
PUBLISH_TOPIC = {"type": "string", "pattern": r"^[^+#\x00]+$", "maxLength": 65535}
URL = {"type": "string", "pattern": "^https?://"}

ORIGIN = {
    "type": "object",
    "properties": {"name": TEXT, "sw_version": {"type": "string"}, "support_url": URL},
    "required": ["name"],
    "additionalProperties": False,
}
DEVICE_INFO = {
    "type": "object",
    "properties": {
        "identifiers": {"type": "array", "items": TEXT, "minItems": 1},
        "connections": {"type": "array"},
        "configuration_url": URL,
    }
    | dict.fromkeys(
        (
            *("manufacturer", "model", "model_id", "name", "hw_version", "sw_version"),
            *("serial_number", "suggested_area", "via_device"),
        ),
        TEXT,
    ),
    "anyOf": [{"required": ["identifiers"]}, {"required": ["connections"]}],
    "additionalProperties": False,
}
AVAILABILITY = {
    "availability": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "topic": PUBLISH_TOPIC,
                "payload_available": TEXT,
                "payload_not_available": TEXT,
                "value_template": TEMPLATE,
            },
            "required": ["topic"],
            "additionalProperties": False,
        },
    },
    "availability_mode": {"enum": ["all", "any", "latest"]},
}
SHARED = AVAILABILITY | {
    "qos": {"enum": [0, 1, 2]},
    "encoding": TEXT,
    "state_topic": PUBLISH_TOPIC,
    "command_topic": PUBLISH_TOPIC,
}
ENTITY = SHARED | {
    "unique_id": TEXT,
    "name": {"type": ["string", "null"]},
    "enabled_by_default": {"type": "boolean"},
    "icon": {"type": "string", "pattern": "^mdi:"},
    "default_entity_id": TEXT,
    "entity_picture": URL,
    "json_attributes_topic": PUBLISH_TOPIC,
    "json_attributes_template": TEMPLATE,
}


def _entity(platform, required, classes, categories, **own):
    return {
        "type": "object",
        "properties": ENTITY
        | {"platform": {"const": platform}}
        | {"device_class": {"enum": [*classes, None]}, "entity_category": {"enum": categories}}
        | own,
        "required": ["platform", "unique_id", *required],
        "additionalProperties": False,
    }


# What a device class wants of a sensor: its units and its state classes.
SENSOR_CLASSES = {
    "signal_strength": (["dB", "dBm"], ["measurement"]),
    "data_size": (["bit", "kbit", "Mbit", "Gbit", "B", "kB", "MB", "GB"], ["measurement", "total"]),
    "duration": (["d", "h", "min", "s", "ms"], ["measurement", "total", "total_increasing"]),
    "timestamp": (None, None),
    "enum": (None, None),
}
SENSOR = _entity(
    "sensor",
    ["state_topic"],
    SENSOR_CLASSES,
    ["diagnostic"],  # a sensor cannot be of the category "config"
    value_template=TEMPLATE,
    unit_of_measurement=TEXT,
    state_class={"enum": ["measurement", "total", "total_increasing"]},
    options={"type": "array", "items": TEXT, "minItems": 1},
    expire_after={"type": "integer", "minimum": 0},
    force_update={"type": "boolean"},
    suggested_display_precision={"type": "integer", "minimum": 0},
)
SENSOR["allOf"] = [
    {
        "if": {"properties": {"device_class": {"const": name}}, "required": ["device_class"]},
        "then": {
            "properties": {"unit_of_measurement": {"enum": units}, "state_class": {"enum": states}},
            "required": ["unit_of_measurement"],
        }
        if units
        else {
            "not": {"anyOf": [{"required": ["unit_of_measurement"]}, {"required": ["state_class"]}]}
        },
    }
    for name, (units, states) in SENSOR_CLASSES.items()
] + [
    {
        "if": {"required": ["options"]},
        "then": {"properties": {"device_class": {"const": "enum"}}, "required": ["device_class"]},
    }
]
BUTTON = _entity(
    "button",
    ["command_topic"],
    ["identify", "restart", "update"],
    ["config", "diagnostic"],
    payload_press=TEXT,
    command_template=TEMPLATE,
    retain={"type": "boolean"},
)
UPDATE = _entity(
    "update",
    ["state_topic"],
    ["firmware"],
    ["config", "diagnostic"],
    payload_install=TEXT,
    retain={"type": "boolean"},
    title=TEXT,
    release_url=URL,
    release_summary={"type": "string", "maxLength": 255},
    display_precision={"type": "integer", "minimum": 0},
    value_template=TEMPLATE,
    latest_version_topic=PUBLISH_TOPIC,
    latest_version_template=TEMPLATE,
)
UPDATE["dependentRequired"] = {"command_topic": ["payload_install"]}
ENTITIES = {"sensor": SENSOR, "button": BUTTON, "update": UPDATE}

DEVICE = {
    "type": "object",
    "properties": SHARED
    | {
        "device": DEVICE_INFO,
        "origin": ORIGIN,
        "components": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "properties": {"platform": {"enum": list(ENTITIES)}},
                "required": ["platform"],
            },
        },
    },
    "required": ["device", "origin", "components"],
    "additionalProperties": False,
}

# What may come on the state_topic of an update.
UPDATE_STATE = {
    "type": "object",
    "properties": {
        "installed_version": {"type": "string", "maxLength": 255},
        "latest_version": {"type": "string", "maxLength": 255},
        "title": {"type": "string"},
        "release_summary": {"type": "string", "maxLength": 255},
        "release_url": URL,
        "entity_picture": URL,
        "in_progress": {"type": "boolean"},
        "update_percentage": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
    },
    "additionalProperties": False,
}
