"""Runs the commands for files on a real board, in an empty folder."""

import pytest

from mqhost.cli.main import main
from mqhost.remote.board_files import BoardFiles


@pytest.fixture
def run(shared_board, capfdbinary, tmp_path, monkeypatch):
    """Give run(*words) -> (exit code, stdout, stderr) in an empty folder; the board is cleaned."""
    monkeypatch.chdir(tmp_path)
    settings = shared_board.settings()
    options = ["--prefix", shared_board.prefix, "--server", settings.server]
    options += ["--port", str(settings.port), "--no-tls"]

    def call(*words):
        capfdbinary.readouterr()
        code = main([*options, *map(str, words)])
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    yield call
    with shared_board.session() as session:
        files = BoardFiles(session)
        names = [entry.path for entry in files.ls("/") if entry.path != "config.json"]
        files.rm(names, recursive=True)
