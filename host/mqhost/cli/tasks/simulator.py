"""Runs a simulated board in the foreground: what `invoke sim` does.

The first run makes the board's flash file from the build and a configuration; later ones keep it,
with whatever has been installed and stored on it since. Ctrl-C stops the board.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

from mqhost.build.board import find
from mqhost.cli.terminal.printing import board_output
from mqhost.paths import BUILD
from mqhost.sim.device import HEAP, Device, check_heap
from mqhost.sim.filesystem import default_config, provision_flash


def flash_file(prefix: str) -> Path:
    """Return where the flash of the board with that prefix is kept when nobody says."""
    return BUILD / "sim" / f"{prefix.replace('/', '-')}.flash"


def run_foreground(
    prefix: str,
    server: str = "127.0.0.1",
    port: int = 1883,
    *,
    flash: Path | None = None,
    image: Path | None = None,
    heap: str = HEAP,
    say: Callable[[str], None] = print,
) -> None:
    """Run the board until Ctrl-C; its console goes to standard output, what we do to `say`.

    `flash` is its flash file (default: one for the prefix), made from `image` (default: the build's
    flash.bin) and a configuration with `prefix`, `server` and `port` when it is not there. Raises
    UsageError when the firmware is not built, the flash file is in use, or `heap` is no heap.
    """
    check_heap(heap)
    board = find("sim")
    table = board.table
    path = flash or flash_file(prefix)
    image = image or BUILD / board.name / "flash.bin"
    if provision_flash(path, image, table, default_config(prefix, server, port)):
        say(f"New board {prefix}; its flash is {path}.")
    else:
        say(f"{path} is there already: the board keeps its firmware and configuration.")
    say("Ctrl-C stops the board.")
    output = board_output()

    def show(data: bytes) -> None:
        output.write(data)
        output.flush()

    with (
        contextlib.suppress(KeyboardInterrupt),
        Device(path, table=table, heap=heap, console=show, name=prefix) as device,
    ):
        device.join()
    say("Stopped.")
