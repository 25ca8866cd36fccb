"""Holds `network.PPP`, with the signatures, states and errors of the ESP32 port's network_ppp.c."""

import _bus
from micropython import const

_PPP = const(26)
_INACTIVE = const(0)
_ACTIVE = const(1)
_ERROR = const(2)
_CONNECTING = const(3)
_CONNECTED = const(4)
_PEER_DEAD = const(9)  # lwIP's PPPERR_PEERDEAD
_EALREADY = const(114)
_NONE = const((None, None, None, None))
_ADDRESS = const(("127.0.0.1", "127.0.0.1", "255.255.255.255", "0.0.0.0"))


class PPP:
    """A connection over `stream`, which has read, write and irq."""

    SEC_NONE = const(0)
    SEC_PAP = const(1)
    SEC_CHAP = const(2)

    def __init__(self, stream):
        if not hasattr(stream, "read") or not hasattr(stream, "write"):
            raise OSError("stream operation not supported")
        self._stream = stream
        self._state = _INACTIVE

    def connect(self, security=SEC_NONE, user=None, key=None):
        """Begin to connect."""
        if self._look() in (_CONNECTING, _CONNECTED):
            raise OSError(_EALREADY)
        if security not in (self.SEC_NONE, self.SEC_PAP, self.SEC_CHAP):
            raise ValueError("invalid auth")
        if security and not (isinstance(user, str) and isinstance(key, str)):
            raise TypeError("can't convert 'NoneType' object to str implicitly")
        self._stream.irq(self.poll, self._stream.IRQ_RXIDLE)
        _bus.call(_PPP, 1)
        self._state = _CONNECTING

    def disconnect(self):
        """End the connection."""
        if self._look() in (_CONNECTING, _CONNECTED):
            _bus.call(_PPP, 0)
            self._state = _INACTIVE

    def isconnected(self):
        """Return whether there is an address."""
        return self._look() == _CONNECTED

    def status(self):
        """Return its state, or a negated error of lwIP's PPP."""
        state = self._look()
        return -_PEER_DEAD if state == _ERROR else state

    def ifconfig(self):
        """Return (address, gateway, netmask, DNS server), in this order."""
        return _ADDRESS if self.isconnected() else _NONE

    def poll(self, _=None):
        """Take in what the stream has."""
        return 0

    def _look(self):
        if self._state in (_CONNECTING, _CONNECTED):
            if _bus.call(_PPP, 2):
                self._state = _CONNECTED
            elif self._state == _CONNECTED:
                self._state = _ERROR
        return self._state
