"""Tests that pyproject.toml names what is imported, and that managing boards needs little of it."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from mqhost.cli.catalogue import COMMANDS
from mqhost.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INSTALLED = packages_distributions()  # reads the list of files of each: once
OURS = {"mqhost", "mqwire", "ci", "mqboard"}


def packages(requirements):
    """Return what can be imported of distributions named as in pyproject.toml."""
    names = {re.split(r"[=\[<>~]", item)[0].lower() for item in requirements}
    return {
        package
        for package, distributions in INSTALLED.items()
        if names & {name.lower().replace("_", "-") for name in distributions}
    }


PLAIN = packages(PROJECT["dependencies"])
BUILD = packages(PROJECT["optional-dependencies"]["build"])
BUILD |= {"requests", "urllib3"}  # in the interface of docker
FLEET = packages(PROJECT["optional-dependencies"]["fleet"])
TESTING = packages(PROJECT["optional-dependencies"]["testing"])
TESTING |= packages(PROJECT["optional-dependencies"]["dev"])


def files_of(folder):
    """Return the files of a package by their modules' names."""
    files = {}
    for path in (ROOT / folder).rglob("*.py"):
        parts = path.relative_to(ROOT / "host").with_suffix("").parts
        files[".".join(parts).removesuffix(".__init__")] = path
    return files


FILES = files_of("host/mqhost")


def imported(path, everywhere=True):
    """Return the modules that a file imports; with `everywhere` False not those in functions and
    for types only.
    """
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if everywhere else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def roots(modules):
    return {module.partition(".")[0] for module in modules} - OURS - sys.stdlib_module_names


def test_what_is_imported_is_named():
    used = set().union(*(roots(imported(path)) for path in FILES.values()))
    assert used <= PLAIN | BUILD | FLEET | TESTING
    assert {"click", "rich", "paho"} <= used & PLAIN and {"docker", "littlefs"} <= used & BUILD
    assert "sqlalchemy" in used & FLEET and "pytest" in used & TESTING


def test_no_command_needs_what_is_for_builds_or_rollouts_just_to_be_there():
    waiting, seen = [target.partition(":")[0] for target, _ in COMMANDS.values()], set()
    while waiting:
        module = waiting.pop()
        if module in seen or module not in FILES:
            continue
        seen.add(module)
        found = imported(FILES[module], everywhere=False)
        extra = roots(found) & (BUILD | FLEET | TESTING) - PLAIN
        assert not extra, f"{module} imports {extra}, which is not installed with the wheel alone"
        parts = module.split(".")
        waiting += [*found, *(".".join(parts[:count]) for count in range(1, len(parts)))]
    assert len(seen) > 40
