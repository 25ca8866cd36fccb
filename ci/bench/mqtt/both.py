# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# The MQTT client alone, for either version of MQTT: what the group mqtt5 runs.
include("../../../manifest/client.py")
include("../../../manifest/mqtt5.py")
