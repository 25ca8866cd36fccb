"""Tests `mqboard dev` for a project that freezes its application, without building anything."""

import pytest

from mqhost.dev import freezing
from mqhost.dev.freezing import Frozen
from mqhost.errors import BuildError
from mqhost.project.model import Project


class Session:
    """Has what is asked of a session before anything is sent."""

    prefix = "dev/board"

    def status(self):
        return {"board": "sim"}


def test_a_file_that_goes_while_firmware_is_built_ends_nothing(tmp_path, monkeypatch):
    (tmp_path / "mqboard.toml").write_text('[project]\nname = "shed"\nfrozen = ["app"]\n')
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "shed.py").write_text("x = 1\n")
    built = []

    def build(board, **_):
        built.append(board.name)
        raise FileNotFoundError(2, "No such file or directory", "pump.c")

    monkeypatch.setattr(freezing, "build", build)
    frozen = Frozen(Session(), Project.load(tmp_path))
    for _ in range(2):  # it is not taken for done
        with pytest.raises(BuildError, match=r"pump\.c cannot be read: .*Nothing was sent"):
            frozen.refresh()
    assert built == ["sim", "sim"]
