"""Runs the raw client (probe.py) as a process: what plain MicroPython and the broker can do.

It is run by the very executable of the board's firmware, with the board's heap, as an ordinary
MicroPython program: none of our code is in it.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from mqhost.errors import ToolError
from mqhost.flash.espimage import executable_of
from mqhost.sim.device import HEAP

_CLIENT = Path(__file__).with_name("probe.py")


def extract(app: Path, folder: Path) -> Path:
    """Write the executable of the simulated board's app image to a file in `folder`."""
    program = folder / "micropython"
    if not program.exists():
        program.write_bytes(executable_of(app.read_bytes()))
        program.chmod(0o755)
    return program


@contextlib.contextmanager
def client(program: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the raw client with these arguments, subscribed; it is killed at the end."""
    process = subprocess.Popen(
        [str(program), "-X", f"heapsize={HEAP}", str(_CLIENT), *arguments],
        # Nowhere: the firmware's frozen modules would look for the simulated chip.
        env=os.environ | {"MICROPYPATH": "/nowhere"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            if read_line(process) != "ready":
                raise ToolError("The raw MQTT client said something else than ready.")
            yield process
        finally:
            process.kill()


def read_line(process: "subprocess.Popen[str]") -> str:
    """Return the next line that the raw client prints; ToolError if it ended instead."""
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise ToolError(f"The raw MQTT client ended with status {process.wait()}; see above.")
    return line.strip()
