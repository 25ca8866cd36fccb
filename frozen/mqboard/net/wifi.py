"""Keeps the network below MQTT up: a Wi-Fi station that tries access points in turn, or another's.

A link has `connected()`, `address()`, `dns()`, `rssi()`, the task `run()` that keeps it up for
ever, and `restart()` for whoever finds that it says connected and yet nothing gets through. It
knows nothing of MQTT. Ethernet is in mqboard.net.ethernet.
"""

import asyncio

from micropython import const

from mqboard.once import forget

_TURN_S = 0.5
_PAUSE_S = const(10)


class Link:
    """A network that somebody else keeps up; `interface` knows whether it is up, None: always."""

    def __init__(self, interface=None):
        self.interface = interface

    def connected(self):
        """Return whether there is an address."""
        return self.interface is None or self.interface.isconnected()

    def address(self):
        """Return the IPv4 address as text, or "" without one."""
        return self.interface.ifconfig()[0] if self.interface and self.connected() else ""

    def dns(self):
        """Return the DNS server's address as text, or "" when it is not known."""
        server = self.interface.ifconfig()[3] if self.interface and self.connected() else ""
        return "" if server == "0.0.0.0" else server

    def rssi(self):
        """Return the signal in dBm; None where there is none."""

    def restart(self):
        """Begin anew, from the hardware on, if it is ours to do so."""

    async def run(self):
        """Keep it up, for ever."""
        while True:
            await asyncio.sleep(3600)


class WifiLink(Link):
    """Joins Wi-Fi: `wlan` is a station, `networks` those of the configuration."""

    joined = None  # the network that we were on last
    shunned = None  # one that we were on, and nothing got through

    def __init__(self, wlan, networks, log):
        super().__init__(wlan)
        self.networks = networks
        self.log = log

    async def run(self):
        """Connect and reconnect for ever; a wrong password or a missing network is only logged."""
        while True:
            while self.connected():
                await asyncio.sleep(_TURN_S)
            try:
                await self._join()
            except Exception as error:  # a full heap, at most; and no reason to end the board
                self.log.error("Wi-Fi: %r", error)
                await asyncio.sleep(_PAUSE_S)

    async def _join(self):
        # Loaded for as long as it takes: most boards are on their network for months.
        from mqboard.net.joining import Joining

        try:
            self.joined = await Joining(self).run()
        finally:
            forget("mqboard.net.joining")

    def restart(self):
        """Switch the station off; `run` switches it on again, and tries other networks first."""
        self.shunned = self.joined
        self.switch_off()

    def switch_off(self):
        """Switch the station off."""
        try:
            self.interface.disconnect()  # or the port would try to connect again by itself
            self.interface.active(False)
        except (OSError, RuntimeError) as error:
            self.log.warning("Wi-Fi: %s", error)

    def rssi(self):
        """Return the signal in dBm; None without an access point."""
        try:
            return self.interface.status("rssi")
        except (OSError, RuntimeError):
            return None
