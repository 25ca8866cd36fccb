"""Runs ruff over the whole project and mypy over the host package, as pyproject.toml says."""

import subprocess
import sys

from mqhost.paths import ROOT


def check(*arguments: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, f"\n{result.stdout}"


def test_ruff_is_content():
    check("ruff", "check", ".")


def test_mypy_is_content():
    check("mypy")
