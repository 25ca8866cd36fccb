"""Runs a simulated board in the foreground: what `invoke sim` does.

The first run makes the board's flash file from the build and a configuration; later ones keep it,
with whatever has been installed and stored on it since. Ctrl-C stops the board. In a project it is
the project's board, and runs its application: what is frozen of it, or else its files.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mqhost.cli.terminal.printing import board_output
from mqhost.deploy.application import Application
from mqhost.paths import BUILD
from mqhost.project.model import here, simulated
from mqhost.sim.device import HEAP, Device, check_heap
from mqhost.sim.filesystem import default_config, provision_flash
from mqhost.testing.application import files_of, note, read_application


def flash_file(prefix: str, board: str = "sim") -> Path:
    """Return where the flash of the board with that prefix is kept when nobody says."""
    return BUILD / board / f"{prefix.replace('/', '-')}.flash"


def application(image: Path) -> dict[str, Any]:
    """Return the settings, by name, of the modules that start of what was frozen into the firmware
    whose flash image that is."""
    try:
        report = json.loads(image.with_name("build.json").read_bytes())
    except (OSError, ValueError):  # without the firmware's image it does not get far
        return {}
    return dict(report.get("application", {}))


def _deployed() -> Application | None:
    """Return the application of the project, which a new board has as after mqboard deploy."""
    project = here()
    return read_application(project.application) if project and project.has_application else None


def run_foreground(
    prefix: str,
    server: str = "127.0.0.1",
    port: int = 1883,
    *,
    board: str | None = None,
    flash: Path | None = None,
    image: Path | None = None,
    heap: str = HEAP,
    say: Callable[[str], None] = print,
) -> None:
    """Run the board until Ctrl-C; its console goes to standard output, what we do to `say`.

    `board`: what kind of board, as `simulated` finds it. `flash` is its flash file (default: one
    for the prefix), made from `image` (default: the build's flash.bin) and a configuration with
    `prefix`, `server`, `port` and the modules of the build when it is not there. Raises
    UsageError when the firmware is not built, the flash file is in use, or `heap` is no heap.
    """
    check_heap(heap)
    kind = simulated(board)
    table = kind.table
    path = flash or flash_file(prefix, kind.name)
    image = image or BUILD / kind.name / "flash.bin"
    config = default_config(prefix, server, port) | {"modules": application(image)}
    deployed = None if config["modules"] else _deployed()
    files = files_of(deployed) if deployed else {}
    if provision_flash(path, image, table, config, files=files, size=kind.flash_size):
        if deployed:
            note(deployed, path, table)
        say(f"New board {prefix}; its flash is {path}.")
    else:
        say(f"{path} is there already: the board keeps its firmware and configuration.")
    say("Ctrl-C stops the board.")
    output = board_output()

    def show(data: bytes) -> None:
        output.write(data)
        output.flush()

    with contextlib.suppress(KeyboardInterrupt):
        device = Device(path, table=table, heap=heap, console=show, name=prefix)
        try:  # from its start on: Ctrl-C may come in the middle of that
            device.start()
            device.join()
        finally:
            device.stop()
    say("Stopped.")
