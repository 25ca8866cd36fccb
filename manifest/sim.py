# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# The simulated board: the base, and the stand-ins for what an ESP32 has in hardware.
include("base.py")
freeze("../boards/sim/modules")
