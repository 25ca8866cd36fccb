"""Tests that a board of MQTT 3.1.1 pays next to nothing for MQTT 5: the package is loaded where it
is asked for, and its hooks in the client are small.

That no board's manifest has it is tested in tests/host/build/test_library.py, that a running board
does not load it in tests/e2e/mqtt/test_mqtt5_board.py.
"""

import ast

from mqhost.deploy.compile import Compiler
from mqhost.paths import FROZEN

PACKAGE = FROZEN / "mqboard" / "mqtt5"
# Who loads it, inside a function, where a configuration or a program asks for it.
LOADERS = {"mqboard/startup.py", "mqboard/commands/config.py", "mqtt_as.py"}
# Compiled bytes of frozen/mqboard/mqtt before it had hooks for MQTT 5, and what they may take.
BEFORE, MOST = 20_524, 1024


def named(node):
    """Return the modules that a statement imports, or that an expression names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
        return [node.value]  # of __import__()
    return []


def mentions(node):
    return any("mqboard.mqtt5" in f"{name}." for name in named(node))


def run_at_import(node):
    """Yield the nodes below `node` but for those in functions, which run later."""
    for below in ast.iter_child_nodes(node):
        if not isinstance(below, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield below
            yield from run_at_import(below)


def test_only_who_is_asked_for_it_loads_it_and_nobody_at_import():
    others = [path for path in FROZEN.rglob("*.py") if PACKAGE not in path.parents]
    trees = {path.relative_to(FROZEN).as_posix(): ast.parse(path.read_text()) for path in others}
    assert {name for name, tree in trees.items() if any(map(mentions, ast.walk(tree)))} == LOADERS
    assert not {name for name, tree in trees.items() if any(map(mentions, run_at_import(tree)))}


def test_its_hooks_in_the_client_take_less_than_a_kilobyte():
    compiler = Compiler()
    files = sorted((FROZEN / "mqboard" / "mqtt").glob("*.py"))
    sizes = [compiler.compile(f"mqboard/mqtt/{path.name}", path.read_bytes()) for path in files]
    assert sum(map(len, sizes)) - BEFORE <= MOST
