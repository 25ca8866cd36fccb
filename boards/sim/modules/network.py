"""Stands in for the ESP32 port's `network`: a WLAN station and an access point.

Signatures and states are those of the port's network_wlan.c. The station reaches the host's
loopback interface and whatever else the host reaches; to the access point belongs 127.0.0.0/24. A
chip has all this in its ROM: constants are loaded for each use and not kept (_network.py), LAN and
PPP when they are used (_lan.py, _ppp.py).
"""

import sys

import _bus
from micropython import const

_WIFI_ACTIVE = const(16)
_WIFI_CONNECT = const(17)
_WIFI_DISCONNECT = const(18)
_WIFI_STATUS = const(19)
_WIFI_SCAN = const(20)
_AP = const(28)
_WIFI_CHANNEL = const(31)

_STA_IF = const(0)
_AP_IF = const(1)
_GOT_IP = const(1010)
_WPA2_PSK = const(3)
_ADDRESS = const(("127.0.0.1", "255.0.0.0", "127.0.0.1", "0.0.0.0"))
_AP_ADDRESS = const(("127.0.0.1", "255.255.255.0", "127.0.0.1", "0.0.0.0"))
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
        self._static = None  # (address, netmask, gateway, DNS server), in place of DHCP
        self._settings = None  # made when it is asked for

    def active(self, active=None):
        """Return whether the interface is on, or switch it."""
        if active is not None and bool(active) != self._active:
            self._active = bool(active)
            if self._interface == _STA_IF:
                _bus.call(_WIFI_ACTIVE, int(self._active))
            else:
                key = (self._settings or {}).get("key", "")
                _bus.call(_AP, int(self._active), 0, ("%s\0%s" % (self._ssid, key)).encode())
        return self._active

    def connect(self, ssid=None, key=None, *, bssid=None):
        """Begin to connect, to the network of last time without an SSID."""
        self._require_started()
        data = None
        if ssid is not None:
            self._ssid = ssid
            data = ("%s\0%s" % (ssid, key or "")).encode()
        _bus.call(_WIFI_CONNECT, int(self._static is not None), 0, data)

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
            rssi = -_bus.call(_WIFI_STATUS, 1)
            if not rssi:
                raise OSError("Wifi Not Connected")
            return rssi
        if what == "stations":
            if self._interface != _AP_IF:
                raise OSError("AP required")
            return []
        if what is not None:
            raise ValueError("unknown status param")
        return _bus.call(_WIFI_STATUS) if self._interface == _STA_IF else None

    def ifconfig(self, settings=None):
        """Return (address, netmask, gateway, DNS server), or set them; "dhcp": ask for them.

        DHCP names no DNS server: names are for the host to look up.
        """
        if settings is None:
            if self._interface == _AP_IF:
                return self._static or (_AP_ADDRESS if self._active else _NONE)
            return self._static or (_ADDRESS if self.isconnected() else _NONE)
        if settings == "dhcp":
            if not self._static:
                raise RuntimeError("Wifi Unknown Error 0x5004")  # DHCP has been started already
            self._static = None
            return
        if len(settings) != 4:
            raise ValueError("requested length 4 but object has length %d" % len(settings))
        self._static = tuple([_address(each) for each in settings])
        if self._static[3] == _NONE[3]:
            raise RuntimeError("Wifi Unknown Error 0x5001")  # that is no DNS server

    def ipconfig(self, *names, **settings):
        """Return "dhcp4", "addr4" or "gw4", or set some of them."""
        address, netmask, gateway, server = self.ifconfig()
        if not settings:
            if len(names) != 1:
                raise TypeError("must query one param")
            known = {"dhcp4": not self._static, "addr4": (address, netmask), "gw4": gateway}
            if names[0] not in known:
                raise ValueError("unexpected key")
            return known[names[0]]
        for key, value in settings.items():
            if key == "dhcp4":
                self._static = None if value else self.ifconfig()
            elif key == "addr4":
                address, netmask = [_address(each) for each in value]
                self._static = (address, netmask, gateway, server)
            elif key == "gw4":
                gateway = _address(value)
                self._static = (address, netmask, gateway, server)
            else:
                raise ValueError("unexpected key")

    def config(self, *names, **settings):
        """One of the settings by its name, or set some."""
        if not self._settings:
            self._settings = dict(pm=1, txpower=20, reconnects=-1, protocol=7)
        if settings:
            if names:
                raise TypeError("either pos or kw args are allowed")
            if settings.get("security") and not 8 <= len(settings.get("key", "")) <= 63:
                raise RuntimeError("Wifi Invalid Argument")
            if "channel" in settings and _bus.call(_WIFI_CHANNEL, settings["channel"]) < 0:
                raise OSError("Wifi Internal State Error")  # it connects
            self._ssid = settings.pop("ssid", self._ssid)
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
        if name == "channel":
            return _bus.call(_WIFI_CHANNEL)
        if name not in self._settings:
            raise ValueError("unknown config param")
        return self._settings[name]

    def scan(self):
        """Return the networks in reach: (SSID, BSSID, channel, RSSI, security, hidden) each."""
        if not self._active:
            raise OSError("STA must be active")
        found = (_bus.call(_WIFI_SCAN) or b"").split(b"\0")[:-1]
        return [(each[1:], b"\x02\0\0\0\0\x01", 1, -each[0], _WPA2_PSK, False) for each in found]

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
    _country = code


def _address(text):
    """Return an address as the port would read and write it; "" is 0.0.0.0."""
    parts = text.split(".") if text else ("0",) * 4
    if len(parts) != 4 or not all([part.isdigit() and int(part) < 256 for part in parts]):
        raise ValueError("invalid arguments")
    return ".".join([str(int(part)) for part in parts])


def __getattr__(name):
    if name == "LAN":
        from _lan import LAN

        return LAN
    if name == "PPP":
        from _ppp import PPP

        return PPP
    import _network

    sys.modules.pop("_network")
    return getattr(_network, name)
