"""Loads the modules of a board on the desk: copies of its own, found where the builds find them.

The host may have modules of the same names (mqwire is installed for it); they are kept apart.
"""

import contextlib
import functools
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from pathlib import Path

from mqhost.paths import BOARDS, FROZEN, ROOT

_FOLDERS = (FROZEN, BOARDS / "sim" / "modules", ROOT / "tests" / "board" / "cpython")
# What the board imports by these names is its own; the host keeps what it has.
_OWN = ("mqboard", "mqwire", "mqbuild", "micropython", "deflate", "esp32", "machine", "network")
_OWN += ("_bus", "_nvs", "_system", "_peripherals", "_timer", "_network", "asyncio.core")
_OWN += ("os", "gc", "utime")


class Modules:
    """A board's modules. `given` are those that are not to be looked for: contents by name.
    `builtin` are names that each of the others has from its beginning.
    """

    def __init__(self, given: dict[str, dict], builtin: dict[str, object]) -> None:
        self._given = {name: _module(name, content) for name, content in given.items()}
        self._modules = self._given
        self._finder = _Finder(builtin)

    def forget(self) -> None:
        """Have the next block load all modules anew."""
        self._modules = self._given

    @contextlib.contextmanager
    def loaded(self) -> Iterator[dict[str, types.ModuleType]]:
        """Make them those that are imported while the block runs; gives sys.modules."""
        outside = _taken()
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, self._finder)
        try:
            yield sys.modules
        finally:
            sys.meta_path.remove(self._finder)
            self._modules = _taken()
            sys.modules.update(outside)


class _Finder:
    """Finds the board's modules, and keeps their code."""

    def __init__(self, builtin: dict[str, object]) -> None:
        self._loaders: dict[str, _Loader] = {}
        self._builtin = builtin

    def find_spec(self, name: str, path: list[str] | None = None, target=None):
        """Find a module, as importlib.abc.MetaPathFinder does."""
        if name not in self._loaders:
            leaf = name.rpartition(".")[2]
            folders = [Path(folder) for folder in path or _FOLDERS]
            files = [folder / form for folder in folders for form in (leaf, f"{leaf}.py")]
            files = [file / "__init__.py" if file.is_dir() else file for file in files]
            found = next((file for file in files if file.is_file()), None)
            if name.partition(".")[0] not in _OWN or not found:
                return None
            self._loaders[name] = _Loader(name, str(found))
            self._loaders[name].builtin = self._builtin
        # A new one each time: the modules keep it. Not from a file: that looks for a cached one.
        loader = self._loaders[name]
        spec = importlib.machinery.ModuleSpec(name, loader, origin=loader.path)
        if loader.is_package(name):
            spec.submodule_search_locations = [str(Path(loader.path).parent)]
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    code: types.CodeType | None = None
    builtin: dict[str, object]

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__.update(self.builtin)
        module.__file__ = self.path
        super().exec_module(module)

    def get_code(self, fullname: str):
        self.code = self.code or super().get_code(fullname)
        return self.code


def _module(name: str, content: dict) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(content)
    return module


def _taken() -> dict[str, types.ModuleType]:
    """Take the modules that are the board's own, by their names, out of sys.modules."""
    return {name: sys.modules.pop(name) for name in [*sys.modules] if _own(name)}


@functools.cache
def _own(name: str) -> bool:
    return name.partition(".")[0] in _OWN or name in _OWN
