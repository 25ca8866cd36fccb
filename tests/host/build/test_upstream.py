"""Tests MicroPython's releases: cloned once with their library, at the commit that is known."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from gitrepo import git

from mqhost.build.board import find
from mqhost.build.sources import source, upstream
from mqhost.build.sources.integrity import record
from mqhost.errors import ToolError, UsageError

BOARD = replace(find("esp32"), micropython="v1.28.0")
HEADER = "".join(
    f"#define MICROPY_VERSION_{name} {number}\n"
    for name, number in (("MAJOR", 1), ("MINOR", 28), ("MICRO", 0))
)


def commit(folder: Path, **files: str) -> Path:
    """Commit `files` to the repository in `folder`, which is made if need be."""
    folder.mkdir(exist_ok=True)
    git(folder, "init", "--quiet")
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=release")
    return folder


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """Make a MicroPython repository with one release, known by its commit; an empty cache."""
    # git follows a submodule into a folder only where it is told that it may.
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.file.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "always")
    library = commit(tmp_path / "library", **{"README.md": "of the release"})
    folder = tmp_path / "repository"
    (folder / "py").mkdir(parents=True)
    (folder / "py" / "mpconfig.h").write_text(HEADER)
    git(folder, "init", "--quiet")
    git(folder, "submodule", "--quiet", "add", library.as_uri(), upstream.LIBRARY)
    commit(folder)
    commit(library, **{"README.md": "of later"})
    git(folder, "tag", "--annotate", "v1.28.0", "--message=release")
    monkeypatch.setattr(upstream, "REPOSITORY", folder.as_uri())
    monkeypatch.setattr(upstream, "RELEASES", {"v1.28.0": git(folder, "rev-parse", "HEAD")})
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    return folder


def test_a_release_is_cloned_once(repository):
    said: list[str] = []
    found = source.find_source(BOARD, None, lambda what, *_: said.append(what))
    assert (found.version, found.origin) == ("1.28.0", "v1.28.0")
    assert found.path == upstream.release_folder("v1.28.0")
    assert said == ["cloning MicroPython v1.28.0"]
    repository.rename(repository.with_name("gone"))
    assert source.find_source(BOARD) == found


def test_a_release_comes_with_the_library_of_its_day(repository):
    folder = upstream.release_source("v1.28.0")
    assert (folder / upstream.LIBRARY / "README.md").read_text() == "of the release"


def test_a_clone_from_before_there_was_a_library_in_it_is_made_again(repository):
    folder = upstream.release_source("v1.28.0")
    shutil.rmtree(folder / upstream.LIBRARY)
    record(folder)  # as an older mqboard left it
    assert upstream.release_source("v1.28.0") == folder
    assert upstream.has_library(folder)


def test_a_library_that_cannot_be_had_leaves_nothing_half_done(repository):
    (repository.with_name("library")).rename(repository.with_name("gone"))
    with pytest.raises(ToolError, match="(?s)cannot be cloned.*--micropython"):
        upstream.release_source("v1.28.0")
    assert not upstream.release_folder("v1.28.0").exists()


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
