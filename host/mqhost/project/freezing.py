"""Takes the Python files of folders as modules to freeze, by the names that they have on a board.

As in an application that is deployed, what is in its folder `lib` is imported without `lib`, and
what app.toml says is to be ignored is left out.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mqhost.build.freeze import PROJECT, FrozenFile
from mqhost.deploy.folder import SPEC, read_files, read_spec
from mqhost.errors import UsageError

_LIB = "lib/"
# Those of the firmware run in their place.
_SCRIPTS = ("main.py", "boot.py")


def read_frozen(folders: Iterable[Path]) -> tuple[FrozenFile, ...]:
    """Return the modules in `folders`; UsageError naming what cannot be frozen, or is there
    twice."""
    found: dict[str, tuple[Path, bytes]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder. Name the one whose modules to freeze.")
        for path, content in read_files(folder, read_spec(folder)).items():
            file = folder / path
            if not path.endswith(".py"):
                raise UsageError(
                    f"{file} cannot be frozen: only Python files are. Ignore it in "
                    f'{folder / SPEC}, as ignore = ["{file.name}"], or deploy the folder by files.'
                )
            if path in _SCRIPTS:
                raise UsageError(
                    f"{file} cannot be frozen: the firmware has a {path} of its own. Make it a "
                    "module with another name and async def start(board, settings)."
                )
            target = path.removeprefix(_LIB)
            if target in found:
                raise UsageError(f"{file} and {found[target][0]} are one module: {target}.")
            found[target] = file, content
    return tuple(FrozenFile(name, data, origin=PROJECT) for name, (_, data) in found.items())


def modules_of(folders: Iterable[Path]) -> dict[str, Any]:
    """Return the settings, by name, of the modules that app.toml in each of `folders` starts."""
    found: dict[str, Any] = {}
    for folder in folders:
        found |= read_spec(folder).get("modules", {})
    return found
