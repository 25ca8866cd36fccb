"""Configurations that are refused, each with a sentence."""

import mqtt_as
from mqtt_as import MQTTException

GOOD = mqtt_as.config.copy()
GOOD["server"] = "127.0.0.1"

for key, value in (
    ("sever", "127.0.0.1"),
    ("gateway", True),
    ("server", None),
    ("keepalive", 65536),
    ("will", ("", "message", False, 0)),
    ("ssl_params", {"ca_data": b""}),
):
    changed = GOOD.copy()
    changed[key] = value
    try:
        mqtt_as.MQTTClient(changed)
        print(key, "is accepted")
    except (ValueError, MQTTException) as error:
        print(type(error).__name__, error)
