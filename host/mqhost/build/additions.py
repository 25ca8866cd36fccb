"""Says what a project adds to MQBoard's firmware: modules to freeze, modules in C, a version.

    Additions: frozen files, a manifest, folders with modules in C  →  build()

What is MQBoard's own, and asyncio, stays what it is: a project that would replace a file of it is
refused, as nobody could say any more what the board's management does. What comes from
MicroPython's library a project may have otherwise.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mqhost.build.freeze import MICROPYTHON, PROJECT, FrozenFile, read_manifest
from mqhost.build.sdkconfig import C_MODULES, text_of
from mqhost.build.sources import upstream
from mqhost.build.sources.source import Source
from mqhost.errors import BuildError, UsageError

# How MicroPython finds a module in C, by port.
_MARKS = {"unix": "micropython.mk", "esp32": "micropython.cmake"}
_MISSING = re.compile(r"Package '([^']*)' not found")
_MISSING_IN = re.compile(r"Package '([^']*)' not found in external library '([^']*)' \((.*)\)")
# What make takes a name apart at, or for something else than a name.
_NO_NAME = re.compile(r"[\s#$%:]")


@dataclass(frozen=True)
class Additions:
    """What a project in the folder `root` adds, or somebody without one. `version`: where git has
    none; `inputs`: the files and folders whose newest tells the time where there is no git;
    `frozen`: files to freeze; `modules`: the settings, by name, of those among them that start;
    `manifest`: names more files; `c_modules`: folders with modules in C, or of such folders;
    `besides`: whether some of it was only named with the build, so that no commit has it all.
    """

    root: Path | None = None
    version: str = ""
    inputs: tuple[str, ...] = ()
    frozen: tuple[FrozenFile, ...] = ()
    modules: Mapping[str, Any] = field(default_factory=dict)
    manifest: Path | None = None
    c_modules: tuple[Path, ...] = ()
    besides: bool = False


def frozen(own: Additions, variables: Mapping[str, str], source: Source) -> list[FrozenFile]:
    """Return the files that a project freezes: its own, and those that its manifest names, which
    has `variables` of the paths. Raises BuildError with what the manifest lacks.
    """
    files = {file.target: file for file in own.frozen}
    if own.manifest:
        try:
            named = read_manifest(own.manifest, variables, rest=PROJECT)
        except BuildError as error:
            raise explained(error, source) from error
        for file in named:
            files.setdefault(file.target, file)
    return list(files.values())


def c_sources(
    folders: Iterable[Path], port: str, there: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Return the files of the modules in C that are in `folders`, below C_MODULES, for `port`.

    A folder is a module, or holds modules; what else is in it comes along, so that they may share
    it. `there` are the files of ours. Raises UsageError where there is none, where one is not made
    for the port, has the name of another, or one that cannot be built.
    """
    found: dict[str, Path] = {}
    modules = {name.split("/")[-2]: Path(name).parent for name in there if _is_mark(name)}
    for folder in folders:
        single = _is_module(folder)
        own = [folder] if single else [path.parent for path in _marked(folder)]
        if not own:
            raise UsageError(
                f"{folder} has no module in C: neither it nor a folder in it has a "
                f"{_MARKS[port]}. Take it out of c_modules, or add one."
            )
        for module in own:
            if not (module / _MARKS[port]).is_file():
                raise UsageError(
                    f"{module} has no {_MARKS[port]}, by which MicroPython's {port} port finds a "
                    "module in C. Add it beside the other one."
                )
            if module.name in modules:
                raise UsageError(
                    f"There is another module in C that is called {module.name}, beside {module}: "
                    f"{modules[module.name]}. Rename yours."
                )
            modules[module.name] = module
        top = folder.parent if single else folder
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                _check_folders(top, path.relative_to(top))
                found[path.relative_to(top).as_posix()] = path
    return {f"{C_MODULES}/{name}": text_of(path) for name, path in found.items()}


def told(error: BuildError, folders: Iterable[Path], tree: Path) -> BuildError:
    """Return the error of a compiler with the names of the project's files, of which it has seen
    copies in `tree`. `folders`: as for c_sources.
    """
    text = str(error)
    for folder in folders:
        names = [folder.name] if _is_module(folder) else sorted(os.listdir(folder))
        top = folder.parent if _is_module(folder) else folder
        for name in names:
            copy = rf"{re.escape(str(tree))}/(?:\w+/)?{C_MODULES}/{re.escape(name)}\b"
            text = re.sub(copy, str(top / name).replace("\\", r"\\"), text)
    return BuildError(text)


def cmake_text(sources: Mapping[str, str]) -> str:
    """Return the CMake file that tells MicroPython of the modules among `sources`; it stands in the
    folder above them."""
    names = sorted(name for name in sources if name.endswith("/" + _MARKS["esp32"]))
    return "".join(
        f'list(APPEND USER_C_MODULES "${{CMAKE_CURRENT_LIST_DIR}}/{name}")\n' for name in names
    )


def merged(ours: Iterable[FrozenFile], added: Iterable[FrozenFile]) -> list[FrozenFile]:
    """Return the files of both, sorted; UsageError naming what would replace a file of ours."""
    files = {file.target: file for file in ours}
    for file in added:
        there = files.get(file.target)
        if there and there.origin != MICROPYTHON and there.content != file.content:
            raise UsageError(
                f"{file.target} of your project would replace that of {there.origin} in the "
                "firmware, which the board is managed with. Give your module another name."
            )
        files[file.target] = file
    return [files[target] for target in sorted(files)]


def explained(error: BuildError, source: Source) -> BuildError:
    """Return the error of a project's manifest, with what to do where a package is not at hand."""
    own = _MISSING_IN.search(str(error))
    if own:
        name, place = own[1], Path(own[3])
        there = sorted({path.parent.name for path in place.rglob("manifest.py")})
        return BuildError(
            f"{error}\nIt was looked for in {place}, which add_library() names {own[2]}: a package "
            f"is a folder {name} in it, at any depth, with a manifest.py. There is: "
            f"{', '.join(there) or 'none'}."
        )
    match = _MISSING.search(str(error))
    if not match:
        return error
    name = match[1]
    library = source.path / upstream.LIBRARY
    if upstream.has_library(source.path):
        return BuildError(
            f"{error}\nmicropython-lib of MicroPython {source.version} has no package {name}. "
            "Is its name right? Packages of other people are copied into a folder of the project, "
            "which add_library() of the manifest names, or into frozen."
        )
    there = sorted({path.parent.name for path in library.rglob("manifest.py")})
    return BuildError(
        f"{error}\n{source.origin} comes with these packages of micropython-lib only: "
        f"{', '.join(there) or 'none'}. MicroPython's release has all of them: --micropython "
        f"{next(iter(upstream.RELEASES))}; or name a checkout that has its submodule "
        f"{upstream.LIBRARY}."
    )


def _check_folders(top: Path, path: Path) -> None:
    """Raise UsageError where make would take the name of a folder on the way to a file apart."""
    for folder in path.parents:
        wrong = _NO_NAME.search(folder.name)
        if wrong:
            what = "a space" if wrong[0].isspace() else wrong[0]
            raise UsageError(
                f"{top / folder} cannot be built: its name has {what} in it, and the compiler is "
                "run by make, which takes it apart there. Rename that folder."
            )


def _is_mark(name: str) -> bool:
    return name.rpartition("/")[2] in _MARKS.values()


def _is_module(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in _MARKS.values())


def _marked(folder: Path) -> list[Path]:
    """Return one of the files that make a module of each folder in `folder` that is one."""
    found = {path.parent: path for mark in _MARKS.values() for path in folder.glob(f"*/{mark}")}
    return [found[parent] for parent in sorted(found)]
