"""Makes Ethernet and waits for its address: network.LAN of the ESP32 port, with the arguments of
the configuration.

    {"phy_type": "LAN8720", "phy_addr": 1, "mdc": 23, "mdio": 18, "power": 16,
     "ref_clk": 17, "ref_clk_mode": "out"}
    {"phy_type": "W5500", "phy_addr": 0, "cs": 5, "int": 4,
     "spi": {"id": 1, "sck": 18, "mosi": 23, "miso": 19}}

Pins are numbers; `static` may stand there, too, in place of DHCP. What cannot be made is tried
again and logged: no reason to stop the board. Loaded by mqboard.net.link where it is needed.
"""

import asyncio

from mqboard.clock import worth_a_line
from mqboard.net.wifi import set_address

_PINS = ("mdc", "mdio", "reset", "power", "cs", "int", "ref_clk", "sck", "mosi", "miso")
_RETRY_S = 15
_PATIENCE_TURNS = 60  # without an address, until it is told
_ANEW_TURNS = 1200  # until it is switched off and on: ten minutes
_TURN_S = 0.5


async def join(link):
    """Make the interface of `link`, a mqboard.net.link.Link, and keep it on until it has an
    address."""
    turns = failures = 0
    told = []
    while not link.connected():
        try:
            if link.interface is None:
                link.interface = _make(link.known)
            if not link.interface.active():
                link.interface.active(True)
        except Exception as error:  # wrong arguments, firmware without it, no such hardware
            failures += 1
            if worth_a_line(told, repr(error), failures):
                link.log.error("Ethernet: %r (%d)", error, failures)
            await asyncio.sleep(_RETRY_S)
            continue
        turns += 1
        if turns == _PATIENCE_TURNS:
            link.log.warning(
                "Ethernet: no IPv4 address yet; is there a cable, and DHCP? IPv6 is not enough"
            )
        if turns % _ANEW_TURNS == 0:
            link.switch_off()
        await asyncio.sleep(_TURN_S)
    link.log.info("Ethernet as %s", link.address())


def _make(arguments):
    arguments = dict(arguments)
    static = arguments.pop("static", None)
    interface = make_lan(arguments)
    if static:
        set_address(interface, static)
    return interface


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
