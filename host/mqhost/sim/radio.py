"""Simulates Wi-Fi: access points that are there or not, and a station that keeps trying.

The station behaves like the ESP32 port's: connecting takes time, a failure leaves its reason as the
status, and it tries again by itself until told to disconnect. Nothing here runs; what has become of
an attempt is worked out when somebody asks.
"""

import time

# The numbers of the ESP32 port's network.STAT_*; below 1000 they are ESP-IDF's wifi_err_reason_t.
IDLE = 1000
CONNECTING = 1001
GOT_IP = 1010
BEACON_TIMEOUT = 200
NO_AP_FOUND = 201
AUTH_FAIL = 202

# Association and an address from DHCP; a real one takes from half a second to some seconds.
CONNECT_SECONDS = 0.04


class Radio:
    """A station among `networks`, a dict of SSID to password ("" for an open one)."""

    def __init__(self, networks: dict[str, str]):
        self._networks = networks
        self._in_reach = True
        self.reset()

    def reset(self) -> None:
        """Do what a reset of the CPU does: nothing is active any more."""
        self.active = False
        self._wanted: tuple[str, str] | None = None
        self._configured: tuple[str, str] | None = None
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

    def set_active(self, active: bool) -> None:
        """Switch the station on or off; off forgets the connection."""
        if not active:
            self.reset()
        self.active = active

    def connect(self, network: tuple[str, str] | None) -> None:
        """Begin to connect to (SSID, password), or to the one of last time."""
        self._settle()
        self._configured = network or self._configured
        self._wanted = self._configured or ("", "")
        self._begin()

    def disconnect(self) -> None:
        """Leave the network and stop trying."""
        self._wanted = None
        self._reason = 0

    def set_in_reach(self, in_reach: bool) -> None:
        """Take all access points away, or bring them back."""
        self._settle()
        if self.connected and not in_reach:
            self._reason = BEACON_TIMEOUT
        if in_reach != self._in_reach:
            self._in_reach = in_reach
            self._begin()

    def scan(self) -> list[str]:
        """Return the SSIDs in reach."""
        return list(self._networks) if self._in_reach else []

    def _begin(self) -> None:
        self._attempt_ends = time.monotonic() + CONNECT_SECONDS

    def _attempt_over(self) -> bool:
        return self._wanted is not None and time.monotonic() >= self._attempt_ends

    def _settle(self) -> None:
        """Remember how the attempt ended, if it has."""
        if self._attempt_over():
            outcome = self._outcome()
            self._reason = 0 if outcome == GOT_IP else outcome

    def _outcome(self) -> int:
        """Return how the attempt to connect ends."""
        ssid, password = self._wanted or ("", "")
        if not self._in_reach or ssid not in self._networks:
            return NO_AP_FOUND
        return GOT_IP if self._networks[ssid] == password else AUTH_FAIL
