# The simulated board: the base, and the stand-ins for what an ESP32 has in hardware.
include("base.py")
freeze("../boards/sim/modules")
