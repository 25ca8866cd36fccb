"""Wraps the unix port's `socket`: it works only while there is a network.

Without it a name does not resolve and a socket cannot be had; the errors are those of an ESP32 that
has no route. When the network goes, the chip breaks the connections that there are.
"""

import _bus
import usocket
from micropython import const

_NET_OPEN = const(23)
_EAI_FAIL = const(-202)
_EHOSTUNREACH = const(118)


def getaddrinfo(*arguments):
    """Look a name up."""
    _require(_EAI_FAIL)
    return usocket.getaddrinfo(*arguments)


def socket(*arguments):
    """Make a socket."""
    _require(_EHOSTUNREACH)
    return usocket.socket(*arguments)


def _require(error):
    if not _bus.call(_NET_OPEN):
        raise OSError(error)


def __getattr__(name):
    return getattr(usocket, name)  # the rest; a copy of its names would take 400 bytes of heap
