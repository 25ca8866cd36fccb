# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# What every board freezes: asyncio as MicroPython ships it, and what is ours under frozen/, but for
# the bridge, which bridge.py adds, the gateway, which gateway.py does, and MQTT 5: mqtt5.py.
import os

include("$(MPY_DIR)/extmod/asyncio")
freeze("../frozen", ("_boot.py", "boot.py", "main.py", "mqtt_as.py"))
package("mqwire", base_path="../frozen")
for _name in sorted(os.listdir("../frozen/mqboard")):
    if _name not in ("mqtt5", "__pycache__"):
        freeze("../frozen", "mqboard/" + _name)
