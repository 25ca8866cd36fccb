"""Tests `mqboard dev` for a project that freezes its application, without building anything."""

from types import SimpleNamespace

import pytest

from mqhost.dev import freezing
from mqhost.dev.freezing import Frozen
from mqhost.dev.projectfile import ProjectFile
from mqhost.errors import BuildError, UsageError
from mqhost.project.model import Project

SHED = '[project]\nname = "shed"\nfrozen = ["app"]\n'


class Session:
    """Has what is asked of a session before anything is sent."""

    prefix = "dev/board"

    def status(self):
        return {"board": "sim"}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "mqboard.toml").write_text(SHED)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "shed.py").write_text("x = 1\n")
    return tmp_path


@pytest.fixture
def frozen(root):
    return Frozen(Session(), ProjectFile(Project.load(root), root / "app"))


def test_a_file_that_goes_while_firmware_is_built_ends_nothing(frozen, monkeypatch):
    built = []

    def build(board, **_):
        built.append(board.name)
        raise FileNotFoundError(2, "No such file or directory", "pump.c")

    monkeypatch.setattr(freezing, "build", build)
    for _ in range(2):  # it is not taken for done
        with pytest.raises(BuildError, match=r"pump\.c cannot be read: .*Nothing was sent"):
            frozen.refresh()
    assert built == ["sim", "sim"]


@pytest.fixture
def built(monkeypatch):
    """Stand in for builds and updates; give what was built."""
    made = []

    def build(board, own, **_):
        made.append(own)
        return SimpleNamespace(app="app.bin")

    def push(*_, **__):
        return SimpleNamespace(already=False, bytes_sent=9, new_version=made[-1].version)

    monkeypatch.setattr(freezing, "build", build)
    monkeypatch.setattr(freezing, "load_image", lambda app: (b"", b""))
    monkeypatch.setattr(freezing, "push", push)
    return made


def test_what_a_project_says_meanwhile_is_what_is_built(frozen, built, root):
    assert frozen.refresh().version == "0.1.0"
    assert frozen.refresh().nothing
    (root / "parts").mkdir()
    (root / "parts" / "pump.py").write_text("x = 1\n")
    text = SHED.replace('"app"', '"app", "parts"') + 'version = "0.9.0"\n'
    (root / "mqboard.toml").write_text(text)
    assert frozen.refresh().version == "0.9.0"
    assert [file.target for file in built[-1].frozen] == ["shed.py", "pump.py"]
    assert {root / "parts", root / "mqboard.toml", root / "manifest.py"} <= set(frozen.places)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (SHED.replace("frozen", "frozn"), r"unknown key frozn\. .* Did you mean frozen\?"),
        (f'servr = "x"\n{SHED}', r"unknown key servr\. .* Did you mean server\?"),
        ("[project\n", r"mqboard\.toml cannot be read"),
        (SHED.replace('["app"]', '["nope"]'), r"/app is not frozen any more.* start it again"),
        (SHED.replace("frozen", "# frozen"), r"/app is not frozen any more\. Nothing was sent\."),
    ],
)
def test_what_is_wrong_in_its_file_is_told_until_it_is_mended(frozen, built, root, wrong, words):
    (root / "mqboard.toml").write_text(wrong)
    for _ in range(2):
        with pytest.raises(UsageError, match=words):
            frozen.refresh()
    assert not built
    (root / "mqboard.toml").write_text(SHED)
    assert frozen.refresh().version
