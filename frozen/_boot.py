"""Arms the watchdog, then mounts the filesystem at /, whatever state it is in; never hangs.

Run by the port before anything else. Armed here, the watchdog also saves a board whose main.py is
broken and would leave it at a prompt that nobody sees. A filesystem that cannot be mounted is
reported and made anew: the configuration's last good copy is in NVS, so the board still comes up
on its network.
"""

import sys

import machine

_BRINGUP_MS = 30_000  # until the supervisor feeds the watchdog
_TOOL_MS = 3_600_000  # after a soft reset: somebody works on the board over its console


def _mount():
    import vfs
    from flashbdev import bdev

    try:
        vfs.mount(bdev, "/")
        return
    except OSError as error:
        print("_boot: filesystem cannot be mounted (%s), making a new one" % error)
    vfs.VfsLfs2.mkfs(bdev)
    vfs.mount(bdev, "/")


# First of all: from here on the board comes back.
_soft = machine.reset_cause() == machine.SOFT_RESET
machine.WDT(timeout=_TOOL_MS if _soft else _BRINGUP_MS)
# Files could stand in for built-in modules: they are found only when management is loaded.
sys.path[:] = [".frozen"]
try:
    from mqboard.phases import mark

    _mount()
    mark("storage")
except Exception as error:  # main.py must run all the same
    print("_boot: no filesystem")
    sys.print_exception(error)
