# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# The simulated board: the base, the stand-ins for what an ESP32 has in hardware, and what is at
# hand of the library. Debian's source has mip and requests of it; a checkout has it all.
include("base.py")
include("bridge.py")
freeze("../boards/sim/modules")
include("library.py", at_hand=True)
