"""Finds the serial port of a board: the one named, or the only one.

Only ports with a USB adapter (or a chip's own USB) are found by themselves: a PC's built-in ports
are always there, whether or not anything is connected.
"""

from dataclasses import dataclass

from mqhost.errors import UsageError

SIM = "sim:"


@dataclass(frozen=True)
class Port:
    """A serial port: its device, what its driver says of it, and whether it is a USB port."""

    device: str
    description: str
    usb: bool

    def __str__(self) -> str:
        return f"{self.device} ({self.description})" if self.description else self.device


def ports() -> list[Port]:
    """Return the serial ports of this machine, by device."""
    from serial.tools import list_ports  # type: ignore[import-untyped]

    found = []
    for port in list_ports.comports():
        description = "" if port.description in (None, "n/a") else port.description
        found.append(Port(port.device, description, port.vid is not None))
    return sorted(found, key=lambda port: port.device)


def find_port(wanted: str | None, found: list[Port] | None = None) -> str:
    """Return `wanted`, or the only USB port; UsageError listing what there is when it is unclear.

    `found` replaces the ports of this machine.
    """
    if wanted:
        return wanted
    found = ports() if found is None else found
    usb = [port for port in found if port.usb]
    if len(usb) == 1:
        return usb[0].device
    if usb:
        listed = ", ".join(map(str, usb))
        raise UsageError(f"There are {len(usb)} serial ports: {listed}. Choose one with --port.")
    others = ", ".join(map(str, found))
    raise UsageError(
        "There is no USB serial port. Connect the board with a USB cable that carries data, or "
        "give --port" + (f" (other ports: {others})." if others else ".")
    )
