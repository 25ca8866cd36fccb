"""Arms the watchdog, then mounts the filesystem at /, whatever state it is in; never hangs.

Run by the port before anything else. Armed here, the watchdog also saves a board whose main.py is
broken and would leave it at a prompt that nobody sees. A filesystem that cannot be mounted is
reported and made anew: the configuration's last good copy is in NVS, so the board still comes up
on its network. So is one in which two boots in a row never came to an end, as RTC memory tells. One
that is damaged further in is left as it is: much of it may still be read.
"""

import gc
import sys

import machine

_BRINGUP_MS = 30_000  # until the supervisor feeds the watchdog
_TOOL_MS = 3_600_000  # after a soft reset: somebody works on the board over its console
_GARBAGE = 8192  # bytes
_DEADLY = 2  # boots that died while they mounted the filesystem; one may have been bad luck


def _mount():
    """Mount the filesystem; return what is wrong with it, None when nothing is."""
    from esp32 import NVS

    from mqboard.health import lastwords
    from mqboard.health.bootrecord import NAMESPACE, Store

    store = Store(NVS(NAMESPACE))
    memory = machine.RTC().memory
    deaths = lastwords.mounting(memory, machine.reset_cause() == machine.PWRON_RESET)
    try:
        news = _mount_after(deaths, store)
    finally:
        lastwords.mounted(memory)
    return store.get("storage") or news


def _mount_after(deaths, store):
    import os

    import vfs
    from flashbdev import bdev

    try:
        if deaths >= _DEADLY:
            raise OSError("%d boots died of it" % deaths)
        vfs.mount(bdev, "/")
    except OSError as error:
        print("_boot: filesystem cannot be mounted (%s), making a new one" % error)
        news = "made anew: it could not be mounted (%s)" % error
        try:
            store.set("storage", news)  # until somebody was told, see mqboard.health.confirm
        except OSError:  # NVS is full: it is told at this boot, at least
            pass
        vfs.VfsLfs2.mkfs(bdev)
        vfs.mount(bdev, "/")
        return news
    try:
        # Power that went in a rename from one folder to another leaves that half done, and
        # LittleFS 2.11 then hides another name until something is written. To remove what is not
        # there has it finish that, and writes nothing if there is nothing to finish.
        os.remove("/.nothing")
    except OSError:
        pass
    # What littlefs puts up with: it goes back to an older root folder, which may be empty.
    there = False
    try:
        for entry in os.ilistdir("/"):
            there = there or entry[0] == "config.json"
    except (OSError, ValueError) as error:  # a name that is no UTF-8
        return "damaged: its root folder cannot be listed (%r)" % error
    return None if there else "damaged: /config.json is missing"


# Until the board has settled (mqboard.board) garbage is collected often: what stays lies together
# then, and leaves the free memory in one piece, as TLS wants it.
gc.threshold(_GARBAGE)
# First of all: from here on the board comes back.
_soft = machine.reset_cause() == machine.SOFT_RESET
machine.WDT(timeout=_TOOL_MS if _soft else _BRINGUP_MS)
# Files could stand in for built-in modules: mqboard.modules.begin keeps these before it lets files
# be found.
sys.path[:] = [".frozen"]
try:
    import mqboard
    from mqboard.phases import mark

    mqboard.storage = "missing"  # until it is there
    mqboard.storage = _mount()
    mark("storage")
except Exception as error:  # main.py must run all the same
    print("_boot: no filesystem")
    sys.print_exception(error)
