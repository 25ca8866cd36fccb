"""Keeps the network below MQTT up: has it joined whenever there is none, and knows its address.

How that is done, mqboard.net.wifi, ethernet and modem know, of which a board loads the one it
needs; which of several networks is used, mqboard.net.order. Nothing here knows of MQTT. What each
of them has to offer is in docs/network.md.
"""

import asyncio

from micropython import const

_TURN_S = 0.5
_PAUSE_S = const(10)


class Link:
    """A network by `interface` (None: not made yet). `way` is "wifi", "ethernet" or "modem",
    `known` what that has to know: the networks, the arguments of network.LAN, or of the modem.
    """

    joined = None  # which of several networks we were on last
    shunned = None  # one over which nothing got through: others come first

    def __init__(self, interface, way, known, log):
        self.interface = interface
        self.known = known
        self.log = log
        self._way = "mqboard.net." + way

    async def run(self):
        """Join and join again, for ever. What goes wrong is only logged."""
        while True:
            if self.connected():
                while self.connected():
                    await asyncio.sleep(_TURN_S)
                self.log.warning("network lost")
            try:
                way = __import__(self._way, None, None, ("join",))
                self.joined = await way.join(self)
                way = None  # it can be unloaded
            except Exception as error:  # a full heap, at most; and no reason to end the board
                self.log.error("%r", error)
                await asyncio.sleep(_PAUSE_S)

    def connected(self):
        """Return whether there is an address."""
        return self.interface is not None and self.interface.isconnected()

    def address(self):
        """Return the IPv4 address as text, or "" without one."""
        return self.interface.ifconfig()[0] if self.connected() else ""

    def dns(self):
        """Return the DNS server's address as text, or "" when it is not known."""
        server = self.interface.ifconfig()[3] if self.connected() else ""
        return "" if server == "0.0.0.0" else server

    def rssi(self):
        """Return the signal in dBm; None where there is none."""
        try:
            return self.interface.status("rssi")
        except Exception:  # not connected, not made, not Wi-Fi
            return None

    def restart(self):
        """Begin anew, from the hardware on, and elsewhere: nothing gets through here."""
        self.shunned = self.joined
        self.switch_off()

    def switch_off(self):
        """Switch the interface off; `run` switches it on again."""
        interface = self.interface
        try:
            if interface is not None and interface.active():
                if hasattr(interface, "disconnect"):
                    interface.disconnect()  # or the port would try to connect again by itself
                interface.active(False)
        except (OSError, RuntimeError) as error:
            self.log.warning("%s", error)
