"""Simulates what the board's networks have in common: which are up, and which one carries.

The station of the radio, the Ethernet of a PHY, and PPP over a modem; connections go over the
host's own network all the same. Which of them a new connection takes is as in ESP-IDF (that of the
highest `route_prio`, and PPP where there is no other); it stays there as long as that is up.
"""

import time

from mqhost.sim.broker import free_port
from mqhost.sim.modem import Modem
from mqhost.sim.radio import Radio

WIFI, ETHERNET, MODEM = "wifi", "ethernet", "modem"

# The ESP32 port's ETH_* (modnetwork.h).
STARTED = 1
STOPPED = 2
CONNECTED = 3
DISCONNECTED = 4
GOT_IP = 5

# Negotiation with the switch, and an address from DHCP; real ones take some seconds.
LINK_SECONDS = 0.04


class Ethernet:
    """A PHY with a `cable` or without; `dhcp`: whether who is there gives addresses."""

    def __init__(self) -> None:
        self.cable = True
        self.dhcp = True
        self.reset()

    def reset(self) -> None:
        """Do what a reset of the CPU does: it is off."""
        self.active = False
        self._used = False
        self._static = False
        self._link_at = 0.0

    def set_active(self, active: bool, static: bool = False) -> None:
        """Switch it on or off; `static`: it has an address and asks for none."""
        self._static = static
        if active and not self.active:
            self._link_at = time.monotonic() + LINK_SECONDS
        self._used = True
        self.active = active

    def change(self, **changes: bool) -> None:
        """Set `cable` or `dhcp`."""
        for name, value in changes.items():
            setattr(self, name, value)
        self._link_at = time.monotonic() + LINK_SECONDS

    @property
    def status(self) -> int:
        """The state, as the port's `LAN.status()` gives it."""
        if not self.active:
            return STOPPED if self._used else 0
        if not self.cable:
            return DISCONNECTED
        if time.monotonic() < self._link_at:
            return STARTED
        return GOT_IP if self.dhcp or self._static else CONNECTED


class Networks:
    """All of them. `carrier` is the name of the one that the last connection was opened over."""

    def __init__(self, radio: Radio):
        self.radio = radio
        self.ethernet = Ethernet()
        self.modem = Modem()
        self.carrier = ""
        # The board's own access point, (SSID, password); it has this machine's loopback interface.
        self.access_point: tuple[str, str] | None = None
        self._ports: dict[int, int] = {}

    def port_of(self, port: int) -> int:
        """Return the port of this machine that stands for a `port` at which the board serves."""
        if port not in self._ports:
            self._ports[port] = free_port()
        return self._ports[port]

    def reset(self) -> None:
        """Do what a reset of the CPU does."""
        self.radio.reset()
        self.ethernet.reset()
        self.modem.hang_up()
        self.access_point = None
        self.carrier = ""

    @property
    def channel(self) -> int:
        """The channel of the chip's radio; 0 while neither station nor access point is on."""
        return self.radio.channel if self.radio.active or self.access_point else 0

    def up(self, name: str) -> bool:
        """Return whether the network `name` has an address."""
        if name == WIFI:
            return self.radio.connected
        if name == ETHERNET:
            return self.ethernet.status == GOT_IP
        return name == MODEM and self.modem.connected

    def open(self) -> bool:
        """Have something opened over the network that comes first; return whether there is one."""
        self.carrier = next((name for name in (WIFI, ETHERNET, MODEM) if self.up(name)), "")
        return bool(self.carrier or self.access_point)
