# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# ESP32 chips: the base, and from the port the one module that _boot.py needs. The port's own
# _boot.py and inisetup.py are not here: ours stand in their place.
include("base.py")
freeze("$(PORT_DIR)/modules", "flashbdev.py")
