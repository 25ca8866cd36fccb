"""Tests MicroPython's releases: cloned once, at the commit that is known."""

import subprocess
from pathlib import Path

import pytest

from mqhost.build import source, upstream
from mqhost.errors import ToolError, UsageError

HEADER = "".join(
    f"#define MICROPY_VERSION_{name} {number}\n"
    for name, number in (("MAJOR", 1), ("MINOR", 28), ("MICRO", 0))
)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    argv = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """Make a MicroPython repository with one release, known by its commit; an empty cache."""
    folder = tmp_path / "repository"
    (folder / "py").mkdir(parents=True)
    (folder / "py" / "mpconfig.h").write_text(HEADER)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=release")
    git(folder, "tag", "--annotate", "v1.28.0", "--message=release")
    monkeypatch.setattr(upstream, "REPOSITORY", folder.as_uri())
    monkeypatch.setattr(upstream, "RELEASES", {"v1.28.0": git(folder, "rev-parse", "HEAD")})
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    return folder


def test_a_release_is_cloned_once(repository):
    said: list[str] = []
    found = source.find_source("v1.28.0", None, lambda what, *_: said.append(what))
    assert (found.version, found.origin) == ("1.28.0", "v1.28.0")
    assert found.path == upstream.release_folder("v1.28.0")
    assert said == ["cloning MicroPython v1.28.0"]
    repository.rename(repository.with_name("gone"))
    assert source.find_source("v1.28.0", None) == found


def test_a_tag_that_moved_is_not_used(repository, monkeypatch):
    monkeypatch.setattr(upstream, "RELEASES", {"v1.28.0": "0" * 40})
    with pytest.raises(ToolError, match="not the source we know"):
        upstream.release_source("v1.28.0")
    assert not upstream.release_folder("v1.28.0").exists()


def test_without_the_network_it_says_what_else_there_is(repository, monkeypatch):
    monkeypatch.setattr(upstream, "REPOSITORY", repository.with_name("none").as_uri())
    with pytest.raises(ToolError, match="(?s)cannot be cloned.*Check the network.*--micropython"):
        upstream.release_source("v1.28.0")
    folder = upstream.release_folder("v1.28.0").parent
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_without_git_it_says_so(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolError, match="git is missing"):
        upstream.release_source("v1.28.0")


def test_an_unknown_release_names_the_known_ones(repository):
    with pytest.raises(UsageError, match=r"known: v1\.28\.0"):
        upstream.release_source("v1.2.3")


def test_what_a_killed_clone_left_goes(repository):
    folder = upstream.release_folder("v1.28.0")
    (folder.parent / "clone-killed").mkdir(parents=True)
    upstream.release_source("v1.28.0")
    assert not (folder.parent / "clone-killed").exists()
