"""Wraps the unix port's `socket`: it works only while there is a network.

Without it a name does not resolve and a socket cannot be had; the errors are those of an ESP32 that
has no route. When the network goes, the chip breaks the connections that there are.
"""

import _bus
import usocket
from micropython import const

_NET_OPEN = const(23)
_AP_PORT = const(29)
_SERVED = const(1024)  # below are ports that one serves at: others have the same address, too
_EAI_FAIL = const(-202)
_EHOSTUNREACH = const(118)


def getaddrinfo(host, port, *more):
    """Look a name up. To serve at a port is to serve at one that this machine has free."""
    _require(_EAI_FAIL)
    mapped = host == "0.0.0.0"
    if not mapped and port < _SERVED:  # at the access point's address
        import network  # a function more would take heap of each board

        interface = network.WLAN._all[network.WLAN.IF_AP]
        mapped = interface and interface.active() and host == interface.ifconfig()[0]
    if mapped:
        host, port = "127.0.0.1", _bus.call(_AP_PORT, port)
    return usocket.getaddrinfo(host, port, *more)


def socket(*arguments):
    """Make a socket."""
    _require(_EHOSTUNREACH)
    return usocket.socket(*arguments)


def _require(error):
    if not _bus.call(_NET_OPEN):
        raise OSError(error)


def __getattr__(name):
    return getattr(usocket, name)  # the rest; a copy of its names would take 400 bytes of heap
