"""Freezes modules: reads a manifest, and lays its files ready in one folder.

`read_manifest` asks MicroPython's own manifest reader which files a manifest names. `stage` copies
them into the build tree, where a file's time changes only when its bytes do: MicroPython's build
decides by times what to compile again, and a file replaced by an older one would not be noticed.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mqhost.errors import BuildError
from mqhost.paths import BOARDS, FROZEN

# Where frozen modules come from: ours, of MicroPython asyncio and all the rest, and a project's.
OURS, ASYNCIO, MICROPYTHON, PROJECT = ORIGINS = ("MQBoard", "asyncio", "MicroPython", "the project")

# Runs MicroPython's reader in a process of its own: it changes the working directory, and a
# manifest is code. Arguments: the folder of manifestfile.py, the manifest, path variables as JSON.
_READER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import manifestfile
reader = manifestfile.ManifestFile(manifestfile.MODE_FREEZE, json.loads(sys.argv[3]))
try:
    reader.execute(sys.argv[2])
except manifestfile.ManifestFileError as error:
    sys.exit(str(error))
supported = manifestfile.KIND_FREEZE_AS_MPY
files = [(f.target_path, f.full_path, f.opt, f.kind == supported) for f in reader.files()]
json.dump(files, sys.stdout)
"""


@dataclass(frozen=True)
class FrozenFile:
    """A module to freeze: its path on the board ("mqwire/flash.py"), its bytes, the optimisation
    level its manifest asks for, which of ORIGINS it comes from, and its path below MicroPython's
    source if it lies there."""

    target: str
    content: bytes
    opt: int | None = None
    origin: str = OURS
    place: str = ""


class Module(NamedTuple):
    """A module that was frozen: its path on the board, the bytes of its .mpy, its origin."""

    path: str
    size: int
    origin: str


def read_manifest(
    manifest: Path, variables: Mapping[str, str], rest: str = OURS
) -> list[FrozenFile]:
    """Return the modules that `manifest` names, sorted; the first mention of a path counts.

    `variables` are the manifest's path variables; MPY_DIR, the source tree, is required. `rest` is
    the origin of what is neither MicroPython's nor in our folders. Raises BuildError with what the
    reader says.
    """
    source = Path(variables["MPY_DIR"])
    argv = [sys.executable, "-I", "-S", "-B", "-c", _READER]
    variables = {"MPY_LIB_DIR": ""} | dict(variables)
    argv += [str(source / "tools"), str(manifest), json.dumps(variables)]
    result = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode:
        raise BuildError(f"{manifest} cannot be read: {result.stderr.strip()}")
    files: dict[str, FrozenFile] = {}
    for target, path, opt, supported in json.loads(result.stdout):
        if not supported:
            raise BuildError(f"{manifest}: {target} is not frozen from a .py file; only those are.")
        if target not in files:
            origin, place = _origin(Path(path), source, rest), _place(Path(path), source)
            files[target] = FrozenFile(target, Path(path).read_bytes(), opt, origin, place)
    return [files[target] for target in sorted(files)]


def replaced(files: Iterable[FrozenFile], folder: Path) -> list[FrozenFile]:
    """Return `files` with the modules in `folder` on top: one of the same path replaces ours."""
    result = {file.target: file for file in files}
    for path in folder.rglob("*.py"):
        target = path.relative_to(folder).as_posix()
        result[target] = FrozenFile(target, path.read_bytes())
    return [result[target] for target in sorted(result)]


def build_module(**constants: str | int | tuple[bytes, ...]) -> FrozenFile:
    """Make the module `mqbuild` with these constants."""
    lines = [f"{name} = {value!r}\n" for name, value in constants.items()]
    text = '"""What this firmware is. Written by the build."""\n\n' + "".join(lines)
    return FrozenFile("mqbuild.py", text.encode())


def stage(files: Iterable[FrozenFile], tree: Path, compiled: Path, output: Path) -> Path:
    """Make `tree`/frozen hold exactly `files`; return the manifest that freezes it.

    `compiled` is the folder of .mpy files and `output` the C file that an earlier build left:
    whatever in them is no longer right goes.
    """
    files = list(files)
    folder = tree / "frozen"
    wanted = {file.target for file in files}
    for old in [path for path in folder.rglob("*.py") if _target(path, folder) not in wanted]:
        old.unlink()
    for file in files:
        path = folder / file.target
        if not path.is_file() or path.read_bytes() != file.content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
    lines = [f'freeze("frozen", "{file.target}", opt={file.opt})\n' for file in files]
    manifest = tree / "manifest.py"
    text = "".join(lines)
    if not manifest.is_file() or manifest.read_text() != text:
        # Other modules, or other options: times alone would not tell.
        shutil.rmtree(compiled, ignore_errors=True)
        output.unlink(missing_ok=True)
        manifest.write_text(text)
    return manifest


def frozen_modules(files: Iterable[FrozenFile], compiled: Path) -> tuple[Module, ...]:
    """Return the modules that were frozen, with the sizes of the .mpy files the build left."""
    sized = ((file, (compiled / file.target).with_suffix(".mpy")) for file in files)
    return tuple(Module(file.target, mpy.stat().st_size, file.origin) for file, mpy in sized)


def _origin(path: Path, source: Path, rest: str) -> str:
    """Return which of ORIGINS the file `path` comes from, when MicroPython is in `source`."""
    # The reader follows links, so that a path may begin otherwise than the source's.
    if path.resolve().is_relative_to((source / "extmod" / "asyncio").resolve()):
        return ASYNCIO
    if path.resolve().is_relative_to(source.resolve()):
        return MICROPYTHON
    ours = any(path.resolve().is_relative_to(folder) for folder in (FROZEN, BOARDS))
    return OURS if ours else rest


def _place(path: Path, source: Path) -> str:
    """Return where the file `path` lies below `source`; "" if it does not."""
    path, source = path.resolve(), source.resolve()
    return path.relative_to(source).as_posix() if path.is_relative_to(source) else ""


def _target(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
