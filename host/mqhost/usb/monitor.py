"""Shows the console of a board at a serial port: pyserial's miniterm, run as a command."""

import os
import subprocess
import sys
from pathlib import Path

from mqhost.errors import UsageError
from mqhost.usb.serial_port import SIM, find_port

BAUD = 115200


def command(port: str, baud: int = BAUD) -> list[str]:
    """Return the argv of the terminal: MicroPython's prompt does its own echo and line editing."""
    miniterm = [sys.executable, "-P", "-m", "serial.tools.miniterm"]
    return [*miniterm, "--raw", "--eol", "CR", port, str(baud)]


def monitor(port: str | None = None, baud: int | None = None) -> int:
    """Show the console at `port` (default: the only one) until Ctrl-]; return the exit code.

    Raises UsageError when there is no such port, or no right to open it.
    """
    if port and port.startswith(SIM):
        path = port.removeprefix(SIM)
        raise UsageError(
            f"{port} is a simulated board: its console is where it runs. "
            f"Start it with: mqboard --prefix … sim --flash {path or 'PATH'}"
        )
    device = find_port(port)
    if "://" not in device:
        _check(device)
    return subprocess.run(command(device, baud or BAUD)).returncode


def _check(device: str) -> None:
    if not Path(device).exists():
        raise UsageError(f"There is no port {device}. Is the board connected?")
    if not os.access(device, os.R_OK | os.W_OK):
        raise UsageError(
            f"You may not open {device}. Join the group that may, log out and in again: "
            "sudo usermod -aG dialout $USER"
        )
