"""Tests that carrying files shows a bar on a terminal, and elsewhere what was done."""

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
