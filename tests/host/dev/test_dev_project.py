"""Tests that the mqboard.toml of a project counts while `mqboard dev` runs, which sends files."""

import pytest

from mqhost.cli.manage.dev import _developing
from mqhost.dev.applying import Development
from mqhost.dev.freezing import Frozen
from mqhost.dev.projectfile import ProjectFile
from mqhost.errors import UsageError
from mqhost.progress import silent
from mqhost.project.model import Project

SHED = '[project]\nname = "shed"\n'


@pytest.fixture
def root(tmp_path):
    for name in ("app", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.py").write_text("x = 1\n")
    (tmp_path / "mqboard.toml").write_text(SHED)
    return tmp_path


def developing(root, named=False):
    folder = root / "app"
    return _developing(None, folder, ProjectFile(Project.load(root), folder, named), silent)


def test_the_projects_file_is_watched_however_its_application_comes(root):
    found = developing(root)
    assert isinstance(found, Development)
    assert found.places == [root / "app", root / "mqboard.toml"]
    (root / "mqboard.toml").write_text(SHED + 'frozen = ["app"]\n')
    found = developing(root)
    assert isinstance(found, Frozen) and root / "mqboard.toml" in found.places
    assert _developing(None, root / "app", None, silent).places == [root / "app"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SHED + 'ap = "app"\n', r"unknown key ap\. .* Did you mean app\?"),
        ("[brokers.farm]\nservr = 1\n" + SHED, r"\[brokers\.farm\] unknown key servr"),
        (SHED + 'app = "other"\n', r"application is .*/other now, and no longer .*/app\. Nothing"),
        (SHED + 'frozen = ["app"]\n', r"/app is frozen now\. Nothing was sent\. .* start it again"),
        ("", r"has no table \[project\]"),
    ],
)
def test_what_is_wrong_in_it_or_wants_another_start_is_told(root, text, words):
    found = developing(root)
    (root / "mqboard.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        found.refresh()


def test_a_folder_that_was_named_stays_the_one_that_is_developed(root):
    file = ProjectFile(Project.load(root), root / "app", named=True)
    (root / "mqboard.toml").write_text(SHED + 'app = "other"\n')
    assert file.read().application == root / "other"
