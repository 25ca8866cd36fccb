# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# ESP32 chips where every byte counts: the base, and from the port the one module that _boot.py
# needs. A board takes it with manifest = "manifest/esp32_small.py" in its board.toml.
include("base.py")
freeze("$(PORT_DIR)/modules", "flashbdev.py")
