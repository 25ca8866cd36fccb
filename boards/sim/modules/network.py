"""Stands in for the ESP32 port's `network`: a WLAN station, and an access point in name only.

Signatures and states are those of the port's network_wlan.c. The station reaches the host's
loopback interface and whatever else the host reaches. A chip has all this in its ROM: constants are
loaded for each use and not kept (_network.py).
"""

import sys

import _bus
from micropython import const

_WIFI_ACTIVE = const(16)
_WIFI_CONNECT = const(17)
_WIFI_DISCONNECT = const(18)
_WIFI_STATUS = const(19)
_WIFI_SCAN = const(20)

_STA_IF = const(0)
_AP_IF = const(1)
_GOT_IP = const(1010)
_WPA2_PSK = const(3)
_ADDRESS = const(("127.0.0.1", "255.0.0.0", "127.0.0.1", "0.0.0.0"))
_NONE = const(("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0"))
_hostname = "mpy-esp32"
_country = "XX"


class WLAN:
    """A Wi-Fi interface. There is one of each kind; making it again gives the same one."""

    IF_STA = const(0)
    IF_AP = const(1)
    SEC_OPEN = const(0)
    SEC_WPA2 = const(3)
    PM_NONE = const(0)
    PM_PERFORMANCE = const(1)
    PM_POWERSAVE = const(2)

    _all = [None, None]

    def __new__(cls, interface=_STA_IF):
        if interface not in (_STA_IF, _AP_IF):
            raise ValueError("invalid WLAN interface identifier")
        if not cls._all[interface]:
            cls._all[interface] = object.__new__(cls)
            cls._all[interface]._set(interface)
        return cls._all[interface]

    def _set(self, interface):
        self._interface = interface
        self._active = False
        self._ssid = ""
        self._settings = None  # made when it is asked for

    def active(self, active=None):
        """Return whether the interface is on, or switch it."""
        if active is not None and bool(active) != self._active:
            self._active = bool(active)
            if self._interface == _STA_IF:
                _bus.call(_WIFI_ACTIVE, int(self._active))
        return self._active

    def connect(self, ssid=None, key=None, *, bssid=None):
        """Begin to connect, to the network of last time without an SSID."""
        self._require_started()
        data = None
        if ssid is not None:
            self._ssid = ssid
            data = ("%s\0%s" % (ssid, key or "")).encode()
        _bus.call(_WIFI_CONNECT, 0, 0, data)

    def disconnect(self):
        """Leave the network."""
        self._require_started()
        _bus.call(_WIFI_DISCONNECT)

    def isconnected(self):
        """Return whether the station has an address."""
        return self._interface == _STA_IF and _bus.call(_WIFI_STATUS) == _GOT_IP

    def status(self, what=None):
        """One of the STAT_* constants; or the "rssi", or the access point's "stations"."""
        if what == "rssi":
            if not self.isconnected():
                raise OSError("Wifi Not Connected")
            return -50
        if what == "stations":
            if self._interface != _AP_IF:
                raise OSError("AP required")
            return []
        if what is not None:
            raise ValueError("unknown status param")
        return _bus.call(_WIFI_STATUS) if self._interface == _STA_IF else None

    def ifconfig(self, settings=None):
        """Return (address, netmask, gateway, DNS server); what is set is ignored.

        No DNS server: names are for the host to look up.
        """
        if settings is None:
            return _ADDRESS if self.isconnected() else _NONE

    def config(self, *names, **settings):
        """One of the settings by its name, or set some."""
        if not self._settings:
            self._settings = dict(pm=1, txpower=20, reconnects=-1, protocol=7, channel=1)
        if settings:
            if names:
                raise TypeError("either pos or kw args are allowed")
            self._settings.update(settings)
            return None
        if len(names) != 1:
            raise TypeError("can query only one param")
        name = names[0]
        if name == "mac":
            return _bus.mac
        if name in ("ssid", "essid"):
            return self._ssid
        if name in ("hostname", "dhcp_hostname"):
            return hostname()
        if name not in self._settings:
            raise ValueError("unknown config param")
        return self._settings[name]

    def scan(self):
        """Return the networks in reach: (SSID, BSSID, channel, RSSI, security, hidden) each."""
        self._require_started()
        names = (_bus.call(_WIFI_SCAN) or b"").split(b"\0")[:-1]
        return [(name, b"\x02\0\0\0\0\x01", 1, -50, _WPA2_PSK, False) for name in names]

    def _require_started(self):
        if self._interface != _STA_IF:
            raise OSError("STA required")
        if not self._active:
            raise OSError("Wifi Not Started")


def hostname(name=None):
    """Return the name the board gives itself, or set it."""
    global _hostname
    if name is None:
        return _hostname
    if len(name) > 32:
        raise ValueError
    _hostname = name


def country(code=None):
    """Return the two-letter country code, or set it."""
    global _country
    if code is None:
        return _country
    if len(code) != 2:
        raise ValueError
    _country = code.upper()


def __getattr__(name):
    import _network

    sys.modules.pop("_network")
    return getattr(_network, name)
