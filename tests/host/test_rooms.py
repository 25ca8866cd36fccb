"""The rooms of the host package and of the board: imports run down the floors, and in no circle."""

import ast
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
    ("update", "signing"),
    ("build", "update"),
    ("artifacts", "build"),
    ("sim", "artifacts"),
    ("usb", "sim"),
    ("cli", "usb"),
]:
    BELOW[_room] = BELOW[_over] | {_over}
BELOW["artifacts"] -= {"build"}


def imports(root: Path, package: str) -> dict[str, set[str]]:
    """What each module below `root`/`package` imports of the package, wherever it does."""
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for path in (root / package).rglob("*.py")
    }
    found = {}
    for name, path in files.items():
        wanted = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= {module if module in files else node.module for module in whole}
        found[name] = {module for module in wanted if module.split(".")[0] == package}
    return found


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 2 or parts[1:2] and parts[1] in BELOW else ""


def test_host_rooms_import_only_the_floors_below():
    upwards = [
        f"{module} imports {other}"
        for module, others in imports(HOST, "mqhost").items()
        for other in others
        if room(other) not in BELOW[room(module)] | {room(module)}
    ]
    assert not upwards


def test_the_client_and_the_network_import_no_other_room_of_the_board():
    ground = {"mqboard", "mqboard.clock", "mqboard.lazy"}
    for module, others in imports(FROZEN, "mqboard").items():
        own = room(module) if len(module.split(".")) > 2 else ""
        if own in ("mqtt", "net"):
            assert not [o for o in others - ground if not o.startswith(f"mqboard.{own}")], module


@pytest.mark.parametrize(("root", "package"), [(HOST, "mqhost"), (FROZEN, "mqboard")])
def test_no_module_imports_itself_through_others(root, package):
    graph = imports(root, package)
    # Of a package, __init__ is the module; it may name what is in it.
    plain = {
        name: {other for other in others if other in graph}
        for name, others in graph.items()
        if not name.endswith("__init__")
    }
    TopologicalSorter(plain).prepare()


def test_only_the_command_line_prints_and_asks():
    for path in (HOST / "mqhost").rglob("*.py"):
        if "cli" in path.relative_to(HOST).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id in ("print", "input")), path
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = [getattr(node, "module", None) or "", *(a.name for a in node.names)]
                assert not {name.split(".")[0] for name in names} & {"click", "rich", "getpass"}, (
                    path
                )
