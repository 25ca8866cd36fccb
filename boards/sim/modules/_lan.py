"""Holds `network.LAN`, with the signatures, states and errors of the ESP32 port's network_lan.c."""

import _bus
from micropython import const

_LAN_ACTIVE = const(24)
_LAN_STATUS = const(25)
_GOT_IP = const(5)
_PHYS = const(7)  # those of the chip's own Ethernet; SPI chips are not in the firmware
_ADDRESS = const(("127.0.0.1", "255.0.0.0", "127.0.0.1", "0.0.0.0"))
_NONE = const(("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0"))


class LAN:
    """The Ethernet interface. There is one; making it again gives the same one."""

    _one = None

    def __new__(cls, id=None, **arguments):
        if not cls._one:
            cls._one = object.__new__(cls)
            try:
                cls._one._set(id, **arguments)
            except BaseException:
                cls._one = None
                raise
        return cls._one

    def _set(
        self,
        id,
        *,
        phy_addr,
        phy_type,
        mdc=None,
        mdio=None,
        reset=None,
        power=None,
        spi=None,
        cs=None,
        int=None,
        ref_clk_mode=-1,
        ref_clk=None,
    ):
        if id not in (None, 0):
            raise ValueError("invalid LAN interface identifier")
        if not 0 <= phy_addr <= 31:
            raise ValueError("invalid phy address")
        if not 0 <= phy_type < _PHYS:
            raise ValueError("invalid phy type")
        if mdc is None or mdio is None:
            raise ValueError("mdc and mdio must be specified")
        self._active = False
        self._static = None

    def active(self, active=None):
        """Return whether the interface is on, or switch it."""
        if active is not None:
            self._active = bool(active)
            self._tell()
        return self._active

    def isconnected(self):
        """Return whether there is an address."""
        return self._active and _bus.call(_LAN_STATUS) == _GOT_IP

    def status(self):
        """One of the ETH_* constants."""
        return _bus.call(_LAN_STATUS)

    def ifconfig(self, settings=None):
        """Return (address, netmask, gateway, DNS server), or set them; "dhcp": ask for them."""
        if settings is None:
            return self._static or (_ADDRESS if self.isconnected() else _NONE)
        self._static = None if settings == "dhcp" else tuple(settings)
        if self._active:
            self._tell()

    def ipconfig(self, *names, **settings):
        """Return "addr4" or "gw4", or set them."""
        address, netmask, gateway, server = self.ifconfig()
        if not settings:
            return gateway if names == ("gw4",) else (address, netmask)
        address, netmask = settings.get("addr4", (address, netmask))
        self.ifconfig((address, netmask, settings.get("gw4", gateway), server))

    def config(self, name):
        """Return the "mac"."""
        if name != "mac":
            raise ValueError("unknown config param")
        return _bus.mac

    def _tell(self):
        _bus.call(_LAN_ACTIVE, int(self._active), int(self._static is not None))
