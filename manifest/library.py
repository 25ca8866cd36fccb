# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# What MicroPython's own ESP32 firmware freezes of micropython-lib and runs on any chip, so that
# programs written for that firmware find it here. A test compares with MicroPython's side of it,
# ports/esp32/boards/manifest.py, where bundle-networking stands for the first five.
#
# include("library.py", at_hand=True) takes what the source tree has, and leaves out the rest.
for _name in (
    "mip",
    "ntptime",
    "requests",
    "ssl",
    "urequests",
    "umqtt.robust",
    "umqtt.simple",
    "upysh",
):
    try:
        require(_name)
    except ValueError:
        if not options.at_hand:
            raise
