"""Keeps the network below MQTT up: a Wi-Fi station that tries access points in turn, or another's.

A link has `connected()`, `address()`, `dns()`, the task `run()` that keeps it up for ever, and
`restart()` for whoever finds that it says connected and yet nothing gets through. It knows nothing
of MQTT. Ethernet is in mqboard.net.ethernet.
"""

import asyncio

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms

_ATTEMPT_MS = const(15_000)
_POLL_S = 0.05
_PAUSE_S = const(2)
_NOT_FOUND = const(201)  # network.STAT_NO_AP_FOUND and STAT_WRONG_PASSWORD of the ESP32 port
_WRONG_PASSWORD = const(202)
_CONNECTING = const(1001)


class Link:
    """A network that somebody else keeps up; `interface` knows whether it is up, None: always."""

    def __init__(self, interface=None):
        self._interface = interface

    def connected(self):
        """Return whether there is an address."""
        return self._interface is None or self._interface.isconnected()

    def address(self):
        """Return the IPv4 address as text, or "" without one."""
        return self._interface.ifconfig()[0] if self._interface and self.connected() else ""

    def dns(self):
        """Return the DNS server's address as text, or "" when it is not known."""
        server = self._interface.ifconfig()[3] if self._interface and self.connected() else ""
        return "" if server == "0.0.0.0" else server

    def restart(self):
        """Begin anew, from the hardware on, if it is ours to do so."""

    async def run(self):
        """Keep it up, for ever."""
        while True:
            await asyncio.sleep(3600)


class WifiLink(Link):
    """Joins Wi-Fi: `wlan` is a station, `networks` a list of (ssid, password), tried in order."""

    def __init__(self, wlan, networks, log):
        super().__init__(wlan)
        self._networks = networks
        self._log = log

    async def run(self):
        """Connect and reconnect for ever; a wrong password or a missing network is only logged."""
        index = 0
        while True:
            if self.connected():
                await asyncio.sleep(0.5)
                continue
            ssid, password = self._networks[index % len(self._networks)]
            index += 1
            if await self._attempt(ssid, password):
                self._log.info("on network %s as %s", ssid, self.address())
                index -= 1  # if it goes, it is the first to be tried
            else:
                self._log.warning("network %s does not let us in: %s", ssid, self._reason())
                self.restart()  # a radio may be stuck
                await asyncio.sleep(_PAUSE_S)

    def restart(self):
        """Switch the station off; `run` switches it on again."""
        try:
            self._interface.disconnect()  # or the port would try to connect again by itself
            self._interface.active(False)
        except (OSError, RuntimeError) as error:
            self._log.warning("Wi-Fi: %s", error)

    def _reason(self):
        status = self._interface.status()
        if status == _NOT_FOUND:
            return "not found"
        if status == _CONNECTING and self._associated():
            return "it gives us no IPv4 address (DHCP), and IPv6 alone is not enough"
        return "wrong password" if status == _WRONG_PASSWORD else "status %d" % status

    def _associated(self):
        try:
            self._interface.status("rssi")
            return True
        except (OSError, RuntimeError):
            return False

    async def _attempt(self, ssid, password):
        wlan = self._interface
        try:
            wlan.active(True)
            wlan.disconnect()
            wlan.connect(ssid, password)
        except (OSError, RuntimeError) as error:
            self._log.warning("network %s: %s", ssid, error)
            return False
        started = ticks_ms()
        while ticks_diff(ticks_ms(), started) < _ATTEMPT_MS:
            if wlan.isconnected():
                return True
            await asyncio.sleep(_POLL_S)
        return False
