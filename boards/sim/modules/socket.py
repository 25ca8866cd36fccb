"""The unix port's `socket`, which works only while the station is on its network.

Without it a name does not resolve and a socket cannot be had; the errors are those of an ESP32 that
has no route. When the network goes, the chip breaks the connections that there are.
"""

import _bus
import usocket
from usocket import *  # noqa: F403

_GOT_IP = 1010
_EAI_FAIL = -202
_EHOSTUNREACH = 118


def getaddrinfo(*arguments):
    """Look a name up."""
    _require(_EAI_FAIL)
    return usocket.getaddrinfo(*arguments)


def socket(*arguments):
    """Make a socket."""
    _require(_EHOSTUNREACH)
    return usocket.socket(*arguments)


def _require(error):
    if _bus.call(_bus.WIFI_STATUS) != _GOT_IP:
        raise OSError(error)
