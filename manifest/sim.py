# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# The simulated board: the base, bridge and gateway, the stand-ins for what an ESP32 has in
# hardware, the driver of a gateway's nodes, as a simulated chip may be one, and what is at hand of
# the library. Debian's source has mip and requests of it; a checkout has it all.
include("base.py")
include("bridge.py")
include("gateway.py")
freeze("../boards/sim/modules")
freeze("../frozen/gateway", "mqnode.py")
include("library.py", at_hand=True)
