"""Gives the console MicroPython's prompt: the board takes its leave, and the watchdog waits.

For an hour: a board that somebody forgot there comes back by itself. Ctrl-D, a soft reset, starts
the board again. Loaded when somebody stops the board, or it has no configuration.
"""

import asyncio
import sys

import machine

import mqbuild
from mqboard import leaving
from mqboard.health import lastwords

_PATIENCE_MS = 3_600_000
_HELP = """
%s.
This board does not know its network, its broker and its prefix yet. Tell it on your computer,
over this cable (close this console first):

    invoke provision --board %s --ssid NETWORK --server BROKER --prefix esp32/test --ca ca.pem

or here, line by line; with TLS in place of "tls": false the path of a CA file, "ca": "/ca.pem":

    f = open("/config.json", "w")
    f.write('{"prefix": "esp32/test",')
    f.write('"networks": [{"ssid": "NETWORK", "password": "PASSWORD"}],')
    f.write('"broker": {"host": "BROKER", "tls": false}}')
    f.close()
    import machine; machine.reset()
"""


def give():
    """Get everything ready for somebody at the prompt; main.py then ends, and there it is."""
    lastwords.stopped(machine.RTC().memory)
    sys.path.extend(("", "/lib"))
    machine.WDT(timeout=_PATIENCE_MS).feed()


def explain(error):
    """Say how a board without a configuration gets one."""
    print(_HELP % (error, mqbuild.BOARD))


def leave(board):
    """Tell the broker that `board` was stopped, as well as that goes in a moment."""
    try:
        # With its other tasks: the loop is the same.
        asyncio.run(leaving.leave(board, "stopped at its console"))
    except (KeyboardInterrupt, Exception) as error:
        sys.print_exception(error)
