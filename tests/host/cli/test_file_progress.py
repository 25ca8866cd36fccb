"""Tests that carrying files shows a bar on a terminal, and elsewhere what was done."""

import subprocess
import sys

import pytest
from commandline import command_line, here, on_terminal
from lyingboard import LyingBoard


@pytest.fixture
def board(broker, prefix):
    with LyingBoard(broker.port, prefix) as running:
        running.contents = {"f.bin": bytes(200_000)}
        yield running


def test_a_bar_on_a_terminal(broker, prefix, board, tmp_path):
    line = command_line(broker.port, prefix, "get", "f.bin")
    shown = on_terminal(line, cwd=tmp_path).decode()
    assert "getting" in shown and "200.0 kB" in shown and "━" in shown
    assert "1 file copied." in shown
    assert (tmp_path / "f.bin").stat().st_size == 200_000


def test_a_line_elsewhere(broker, prefix, board, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    process = here(capsys, command_line(broker.port, prefix, "get", "f.bin"))
    assert (process.returncode, process.stdout, process.stderr) == (0, "1 file copied.\n", "")


def test_who_needs_neither_bar_nor_compiler_does_not_wait_for_them():
    look = "print([name for name in sys.argv[1:] if name in sys.modules])"
    seldom = ["rich", "mqhost.build", "mqhost.deploy", "mqhost.manage"]
    line = [sys.executable, "-c", f"import mqhost.cli.files.syncing, sys; {look}", *seldom]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "[]\n"
