"""Keeps Ethernet up as a link: network.LAN of the ESP32 port, with the configuration's arguments.

    {"phy_type": "LAN8720", "phy_addr": 1, "mdc": 23, "mdio": 18, "power": 16,
     "ref_clk": 17, "ref_clk_mode": "out"}
    {"phy_type": "W5500", "phy_addr": 0, "cs": 5, "int": 4,
     "spi": {"id": 1, "sck": 18, "mosi": 23, "miso": 19}}

Pins are numbers; `static` may stand there, too, in place of DHCP. What cannot be made is tried
again and logged: no reason to stop the board.
"""

import asyncio

from mqboard.clock import worth_a_line
from mqboard.net.joining import addresses
from mqboard.net.wifi import Link

_PINS = ("mdc", "mdio", "reset", "power", "cs", "int", "ref_clk", "sck", "mosi", "miso")
_RETRY_S = 15
_PATIENCE_S = 30
_TURN_S = 0.5


class EthernetLink(Link):
    """A wired link. `arguments` are network.LAN's, as above; `make(arguments)` makes it."""

    def __init__(self, arguments, log, make=None):
        super().__init__(None)
        self._arguments = dict(arguments)
        self._static = self._arguments.pop("static", None)
        self._make = make or make_lan
        self._log = log
        self.patience_s = _PATIENCE_S  # without an address, until it is told

    def connected(self):
        """Return whether there is an address."""
        return self.interface is not None and self.interface.isconnected()

    def restart(self):
        """Switch the interface off; `run` switches it on again."""
        try:
            self.interface.active(False)
        except (OSError, AttributeError) as error:
            self._log.warning("Ethernet: %s", error)

    async def run(self):
        """Keep the interface on, for ever."""
        told = False
        waited_s = failures = 0
        reasons = []
        while True:
            try:
                if self.interface is None:
                    self.interface = self._make(self._arguments)
                    if self._static:
                        self.interface.ifconfig(addresses(self._static))
                if not self.interface.active():
                    self.interface.active(True)
            except Exception as error:  # wrong arguments, firmware without it, no such hardware
                failures += 1
                if worth_a_line(reasons, repr(error), failures):
                    self._log.error("Ethernet: %r (%d)", error, failures)
                await asyncio.sleep(_RETRY_S)
                continue
            if told != self.connected():
                told = not told
                self._log.info("Ethernet %s", "as " + self.address() if told else "lost")
            waited_s = 0 if told else waited_s + _TURN_S
            if self.patience_s < waited_s <= self.patience_s + _TURN_S:
                self._log.warning(
                    "Ethernet: no IPv4 address yet; is there a cable, and DHCP? IPv6 is not enough"
                )
            await asyncio.sleep(_TURN_S)


def make_lan(arguments):
    """Make the interface for `arguments`; raises whatever is wrong with them."""
    import machine
    import network

    values = _values(arguments, machine)
    if "phy_type" in values:
        values["phy_type"] = getattr(network, "PHY_" + values["phy_type"])
    if "spi" in values:
        values["spi"] = machine.SPI(**_values(values["spi"], machine))
    return network.LAN(**values)


def _values(arguments, machine):
    pin = machine.Pin
    values = {name: pin(arg) if name in _PINS else arg for name, arg in arguments.items()}
    if "ref_clk_mode" in values:
        values["ref_clk_mode"] = pin.OUT if values["ref_clk_mode"] == "out" else pin.IN
    return values
