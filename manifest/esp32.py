# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# ESP32 chips: ours, and all that MicroPython's own firmware for them freezes. That firmware's
# _boot.py and inisetup.py are not here: ours stand in their place. Nothing of this is loaded before
# a program imports it, except machine.py, which adds Counter and Encoder to the chip's module.
include("esp32_small.py")
include("library.py")
include("bridge.py")
for _name in ("aioespnow", "dht", "ds18x20", "neopixel", "onewire", "webrepl"):
    require(_name)
freeze("$(PORT_DIR)/modules", ("apa106.py", "espnow.py", "machine.py"))
