"""Builds the firmware that boards of tests run, once in a run of tests; the next run finds it built
and compiles what has changed since.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mqhost.build.build import build
from mqhost.errors import UsageError
from mqhost.flash.partition import PartitionTable
from mqhost.locks import locked
from mqhost.paths import BOARDS, PROJECT, cache_dir
from mqhost.project.model import added, simulated


@dataclass(frozen=True)
class Firmware:
    """Firmware of a simulated board: the app image `app`, the flash image `flash`, its `table`, and
    the `flash_size` in bytes that this is made for; the settings, by name, of the `modules` that
    start of what a project froze into it.
    """

    app: Path
    flash: Path
    table: PartitionTable
    flash_size: int
    modules: dict[str, Any] = field(default_factory=dict)


def built(run: str) -> Firmware:
    """Return the firmware of the board `sim` as its sources are now, in a project that of its own;
    it is built the first time that this run of tests, called `run`, asks. Raises ToolError where it
    cannot be built.
    """
    whose = hashlib.sha256(str(PROJECT or BOARDS).encode()).hexdigest()[:12]
    folder = cache_dir() / "testing" / whose
    stamp = folder / "run"
    with locked(folder / "lock"):
        if not stamp.is_file() or stamp.read_text() != run:
            build(simulated(), output=folder / "sim", own=added())
            stamp.write_text(run)
    return load(folder / "sim")


def load(folder: Path) -> Firmware:
    """Return the firmware that a build for the board `sim` left in `folder`."""
    for name in ("app.bin", "flash.bin"):
        if not (folder / name).is_file():
            raise UsageError(
                f"{folder} has no {name}: no firmware of a simulated board. Build it there, or "
                "leave mqboard_firmware out: then it is built as tests need it."
            )
    try:
        report = json.loads((folder / "build.json").read_bytes())
    except (OSError, ValueError):  # only the images were kept
        report = {}
    modules = dict(report.get("application", {}))
    kind = simulated()
    return Firmware(folder / "app.bin", folder / "flash.bin", kind.table, kind.flash_size, modules)
