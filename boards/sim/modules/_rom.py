"""Does what the ESP32 port does around Python code: boot scripts in their order, then the prompt.

The process begins here. `start` takes the host's files away, then runs _boot.py, boot.py and
main.py, each from the frozen modules or else from the board's filesystem, as the port's main.c
does. When it returns, the interactive prompt follows. SystemExit is a soft reset, and so is leaving
the prompt.
"""

import sys

import _bus
import vfs
from micropython import const

_RESET = const(2)


def start(scope):
    """Boot. `scope` is the prompt's namespace; it gets the scripts' names."""
    vfs.umount("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.atexit(_soft_reset)
    del scope["sys"], scope["_rom"]
    _run("_boot", scope)
    if _run("boot", scope):
        _run("main", scope)


def _run(name, scope):
    """Run a script as __main__; return whether it ended well (a missing one does)."""
    path = sys.path
    added = path[0] != ".frozen"
    if added:
        path.insert(0, ".frozen")
    try:
        # A fourth argument of False is how the unix port itself runs a module as __main__.
        __import__(name, None, None, False)
        return True
    except SystemExit:
        _soft_reset()
    except BaseException as error:
        if isinstance(error, ImportError) and str(error) == "no module named '%s'" % name:
            return True
        sys.print_exception(error)
        return False
    finally:
        if added and path[0] == ".frozen" and ".frozen" in path[1:]:
            path.pop(0)
        sys.modules.pop(name, None)
        main = sys.modules.get("__main__")
        if main:
            scope.update(main.__dict__)
            scope["__name__"] = "__main__"


def _soft_reset():
    print("MPY: soft reboot")
    _bus.call(_RESET, 1)
