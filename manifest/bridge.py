# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# The bridge, which brings MQTT to a target without a network (docs/bridge.md). Nothing of it is
# loaded before the configuration has `bridge`. The rest of that folder is the target's.
freeze("../frozen/bridge", ("mqbridge.py", "mqlink.py"))
