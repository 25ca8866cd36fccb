# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# What every board freezes: asyncio as MicroPython ships it, and what is ours under frozen/, but for
# the bridge, which bridge.py adds.
include("$(MPY_DIR)/extmod/asyncio")
freeze("../frozen", ("_boot.py", "boot.py", "main.py", "mqtt_as.py"))
package("mqboard", base_path="../frozen")
package("mqwire", base_path="../frozen")
