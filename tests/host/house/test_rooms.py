"""Tests the rooms of host package and board: imports run down the floors, in no circle."""

import ast
import tomllib
from collections.abc import Collection
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from mqhost.paths import FROZEN, ROOT

HOST = ROOT / "host"

# Each room, and the rooms below it that it may import. The modules beside them, the ground floor,
# are everybody's and import only each other.
BELOW = {"": set(), "link": {""}, "flash": {"", "link"}}
for _room, _over in [
    ("signing", "flash"),
    ("attest", "signing"),
    ("update", "attest"),
    ("manage", "update"),
    ("remote", "manage"),
    ("mip", "remote"),
    ("repl", "mip"),
    ("build", "repl"),
    ("deploy", "build"),
    ("project", "deploy"),
    ("mount", "project"),
    ("artifacts", "mount"),
    ("sim", "artifacts"),
    ("fleet", "sim"),
    ("usb", "fleet"),
    ("testing", "usb"),
    ("dev", "testing"),
    ("cli", "dev"),
]:
    BELOW[_room] = BELOW[_over] | {_over}
BELOW["artifacts"] -= {"build"}
BELOW["broker"] = {"", "link"}
BELOW["cli"] |= {"broker"}


def imports(root: Path, package: str) -> dict[str, set[str]]:
    """Return which modules of `package` each of its modules imports, wherever in its code.

    A package goes by its own name: what its __init__.py imports, it imports.
    """
    files = {}
    for path in (root / package).rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        files[".".join(parts).removesuffix(".__init__")] = path
    return {name: _imported(path, files.keys()) for name, path in files.items()}


def _imported(path: Path, modules: Collection[str]) -> set[str]:
    wanted = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports name their module in full"
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                wanted.add(module if module in modules else node.module)
    return wanted & set(modules)


def room(module: str) -> str:
    """Return the room that a host module is in, or is itself; "" on the ground floor."""
    name = module.partition(".")[2].partition(".")[0]
    return name if name in BELOW else ""


def test_host_rooms_import_only_the_floors_below():
    rooms = {path.name for path in (HOST / "mqhost").iterdir() if (path / "__init__.py").exists()}
    assert rooms == BELOW.keys() - {""}
    upwards = [
        f"{module} imports {other}"
        for module, others in imports(HOST, "mqhost").items()
        for other in others
        if room(other) not in BELOW[room(module)] | {room(module)}
    ]
    assert not upwards


@pytest.mark.parametrize("own", ["mqboard.mqtt", "mqboard.net"])
def test_the_client_and_the_network_import_no_other_room_of_the_board(own):
    inside = {
        module: others
        for module, others in imports(FROZEN, "mqboard").items()
        if f"{module}.".startswith(f"{own}.")
    }
    assert len(inside) > 1
    for module, others in inside.items():
        outside = {other for other in others if not f"{other}.".startswith(f"{own}.")}
        assert outside <= {"mqboard.clock"}, module


@pytest.mark.parametrize(("root", "package"), [(HOST, "mqhost"), (FROZEN, "mqboard")])
def test_no_module_imports_itself_through_others(root, package):
    graph = imports(root, package)
    assert sum(map(len, graph.values())) > len(graph) / 2
    TopologicalSorter(graph).prepare()


def test_the_packages_that_are_installed_are_all_there_are():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [path.parent for path in (HOST / "mqhost").rglob("__init__.py")]
    names = {".".join(path.relative_to(HOST).parts) for path in found}
    assert set(listed) == names | {"mqwire"}


def test_only_the_command_line_prints_and_asks():
    for path in (HOST / "mqhost").rglob("*.py"):
        if "cli" in path.relative_to(HOST).parts:
            continue
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
        assert not names & {"print", "input", "click", "rich", "getpass"}, path
