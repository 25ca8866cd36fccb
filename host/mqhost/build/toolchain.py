"""Checks before a native build for ESP32 chips starts that this machine has what it needs.

ESP-IDF itself is found through IDF_PATH; its version must be the one in the board's toolchain
image, the pair that the MicroPython release was tested with. mpy-cross must write the bytecode that
the MicroPython source reads.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from mqhost.build.board import Board
from mqhost.errors import ToolError, UsageError

_NUMBER = re.compile(r"set\(IDF_VERSION_(MAJOR|MINOR|PATCH) (\d+)\)")
_EMITTED = re.compile(r"mpy v(\d+)\.(\d+)")
_READ = re.compile(r"^#define MPY_(VERSION|SUB_VERSION) (\d+)$", re.MULTILINE)
_PROGRAMS = ("bash", "make")


def check_idf(board: Board) -> None:
    """Raise ToolError unless this machine has the ESP-IDF that `board` is built with."""
    wanted = board.toolchain.rpartition(":")[2]
    advice = (
        f"Build in the container {board.toolchain} (--builder docker), or install ESP-IDF "
        f"{wanted} and run its export.sh."
    )
    path = os.environ.get("IDF_PATH")
    if not path:
        raise ToolError(
            f"Board {board.name} needs ESP-IDF, and IDF_PATH does not say where it is. {advice}"
        )
    folder = Path(path)
    try:
        text = (folder / "tools" / "cmake" / "version.cmake").read_text()
        numbers = dict(_NUMBER.findall(text))
        version = ".".join(numbers[part] for part in ("MAJOR", "MINOR", "PATCH"))
    except (OSError, KeyError) as error:
        raise ToolError(
            f"IDF_PATH is {path}, which is no ESP-IDF: tools/cmake/version.cmake does not tell a "
            f"version. {advice}"
        ) from error
    if f"v{version}" != wanted:
        raise ToolError(
            f"Board {board.name} is built with ESP-IDF {wanted}; IDF_PATH, {path}, is v{version}. "
            f"{advice} Or change toolchain in {board.folder / 'board.toml'}."
        )
    if not shutil.which("idf.py") and not (folder / "export.sh").is_file():
        raise ToolError(f"idf.py is not on PATH, and {path} has no export.sh. {advice}")
    for program in _PROGRAMS:
        if not shutil.which(program):
            raise ToolError(f"{program} is missing; ESP-IDF's build needs it.")


def check_bytecode(source: Path, mpy_cross: str) -> None:
    """Raise UsageError if MicroPython's `source` cannot read what `mpy_cross` writes."""
    told = subprocess.run([mpy_cross, "--version"], capture_output=True, text=True).stdout.strip()
    header = source / "py" / "persistentcode.h"
    emitted, read = _EMITTED.search(told), dict(_READ.findall(header.read_text()))
    if emitted is None or emitted[1] != read.get("VERSION"):
        raise UsageError(
            f"{header} reads bytecode of version {read.get('VERSION')}, and mpy-cross says "
            f"{told!r}. Use a MicroPython checkout that fits it: --micropython DIR"
        )
