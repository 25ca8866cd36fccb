"""Simulates Wi-Fi: access points that are there or not, and a station that keeps trying.

The station behaves like the ESP32 port's: connecting takes time, a failure leaves its reason as the
status, and it tries again by itself until told to disconnect. Nothing here runs; what has become of
an attempt is worked out when somebody asks.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

# The numbers of the ESP32 port's network.STAT_*; below 1000 they are ESP-IDF's wifi_err_reason_t.
IDLE = 1000
CONNECTING = 1001
GOT_IP = 1010
BEACON_TIMEOUT = 200
NO_AP_FOUND = 201
AUTH_FAIL = 202

# Association and an address from DHCP; a real one takes from half a second to some seconds.
CONNECT_SECONDS = 0.04
# It looks at the channels one after the other, from the one that it is told; a real one for 0.12 s.
SCAN_SECONDS = 0.01
_CHANNELS = 13


@dataclass(frozen=True)
class AccessPoint:
    """A network: its `password` ("" for an open one), its signal at the board (`rssi`, in dBm),
    whether a scan does not say its name (`hidden`), whether it gives addresses (`dhcp`), and its
    `channel`."""

    password: str = ""
    rssi: int = -50
    hidden: bool = False
    dhcp: bool = True
    channel: int = 1
    in_reach: bool = True


class Radio:
    """A station among `networks`, a dict of SSID to access point, or to its password.

    `attempts` has the last ones to connect: SSID, and the channel at which it began to look.
    """

    def __init__(self, networks: Mapping[str, str | AccessPoint]):
        self._networks = {
            ssid: AccessPoint(each) if isinstance(each, str) else each
            for ssid, each in networks.items()
        }
        self.attempts: deque[tuple[str, int]] = deque(maxlen=100)
        self.reset()

    def reset(self) -> None:
        """Do what a reset of the CPU does: nothing is active any more."""
        self.active = False
        self.tuned = 1  # the channel of a station that is on no network
        self.first = 1  # the channel that an attempt begins at
        self._wanted: tuple[str, str] | None = None
        self._configured: tuple[str, str] | None = None
        self._static = False
        self._attempt_ends = 0.0
        self._reason = 0

    @property
    def status(self) -> int:
        """The state of the connection, as the port's `WLAN.status()` gives it."""
        self._settle()
        if self.connected:
            return GOT_IP
        if self._reason in (NO_AP_FOUND, AUTH_FAIL):
            return self._reason
        return CONNECTING if self._wanted else IDLE

    @property
    def connected(self) -> bool:
        """Whether the station has an address."""
        return self.active and self._attempt_over() and self._outcome() == GOT_IP

    @property
    def rssi(self) -> int:
        """The signal of the access point, in dBm; 0 without one. There need not be an address."""
        if self.active and self._attempt_over() and self._outcome() in (GOT_IP, CONNECTING):
            return self._networks[self._wanted[0] if self._wanted else ""].rssi
        return 0

    @property
    def channel(self) -> int:
        """The channel: that of the access point, if it is on a network."""
        if self.connected and self._wanted:
            return self._networks[self._wanted[0]].channel
        return self.tuned

    def set_active(self, active: bool) -> None:
        """Switch the station on or off; off forgets the connection."""
        if not active:
            self.reset()
        self.active = active

    def connect(self, network: tuple[str, str] | None, static: bool = False) -> None:
        """Begin to connect to (SSID, password), or to the one of last time.

        `static`: the station has an address and asks for none.
        """
        self._settle()
        if network:
            self.first = 1
        self._configured = network or self._configured
        self._wanted = self._configured or ("", "")
        self._static = static
        self._begin()

    def disconnect(self) -> None:
        """Leave the network and stop trying."""
        self._wanted = None
        self._reason = 0

    def tune(self, channel: int) -> bool:
        """Go to `channel`, and look for networks from there on; return whether that is possible:
        while it connects it is not."""
        if self._wanted and not self.connected:
            return False
        self.tuned = self.first = channel
        return True

    def change(self, ssid: str | None = None, **changes: str | int | bool) -> None:
        """Change access points (all without `ssid`): `changes` are of AccessPoint. An SSID that is
        not there yet becomes one."""
        self._settle()
        before = dict(self._networks)
        connected = self.connected
        for name in [ssid] if ssid is not None else before:
            old = before.get(name, AccessPoint())
            self._networks[name] = replace(old, **changes)  # type: ignore[arg-type]
        if connected and not self.connected:
            self._reason = BEACON_TIMEOUT
        if self._wanted and before.get(self._wanted[0]) != self._networks.get(self._wanted[0]):
            self._begin()

    def scan(self) -> list[tuple[str, int]]:
        """Return SSID ("" for a hidden one) and signal of those in reach; none while connecting."""
        if self._wanted and not self.connected:
            return []
        reached = [(ssid, each) for ssid, each in self._networks.items() if each.in_reach]
        return [("" if each.hidden else ssid, each.rssi) for ssid, each in reached]

    def _begin(self) -> None:
        ssid = self._wanted[0] if self._wanted else ""
        self.attempts.append((ssid, self.first))
        found = self._networks.get(ssid)
        channels = (found.channel - self.first) % _CHANNELS if found else 0
        self._attempt_ends = time.monotonic() + CONNECT_SECONDS + channels * SCAN_SECONDS

    def _attempt_over(self) -> bool:
        return self._wanted is not None and time.monotonic() >= self._attempt_ends

    def _settle(self) -> None:
        """Remember how the attempt ended, if it has."""
        if self._attempt_over():
            outcome = self._outcome()
            self._reason = outcome if outcome in (NO_AP_FOUND, AUTH_FAIL) else 0

    def _outcome(self) -> int:
        """Return how the attempt to connect ends; CONNECTING: with no address."""
        ssid, password = self._wanted or ("", "")
        found = self._networks.get(ssid)
        if not found or not found.in_reach:
            return NO_AP_FOUND
        if found.password != password:
            return AUTH_FAIL
        return GOT_IP if found.dhcp or self._static else CONNECTING
