"""Tests the revision: what git tells, and what stands in where it tells nothing."""

import os
import time
from pathlib import Path

import pytest
from gitrepo import COMMIT_TIME, git

from mqhost.build.revision import Revision, read_revision
from mqhost.errors import UsageError
from mqwire.update import MAX_VERSION


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[tool.mqboard]\nversion = "0.1.0"\n')
    (tmp_path / "frozen").mkdir()
    (tmp_path / "frozen" / "main.py").write_text("1\n")
    os.utime(tmp_path / "frozen" / "main.py", (COMMIT_TIME - 5, COMMIT_TIME - 5))
    return tmp_path


@pytest.fixture
def committed(project) -> Path:
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    return project


def short(project: Path) -> str:
    return git(project, "log", "-1", "--abbrev=8", "--format=%h")


def test_without_a_tag_the_projects_version_and_the_commit(committed):
    node = short(committed)
    assert read_revision(root=committed) == Revision(f"0.1.0+g{node}", node, COMMIT_TIME)


def test_a_tag_is_the_version(committed):
    git(committed, "tag", "v1.2.3")
    assert read_revision(root=committed).version == "1.2.3"


def test_commits_after_a_tag_are_counted(committed):
    git(committed, "tag", "v1.2.3")
    git(committed, "commit", "-qm", "more", "--allow-empty")
    assert read_revision(root=committed).version == f"1.2.3+1.g{short(committed)}"


@pytest.mark.parametrize("name", ["frozen/main.py", "frozen/new one.py"])
def test_a_changed_or_new_file_makes_it_dirty_and_as_new_as_the_file(committed, name):
    (committed / name).write_text("2\n")
    os.utime(committed / name, (COMMIT_TIME + 60, COMMIT_TIME + 60))
    found = read_revision(root=committed)
    assert found.version.endswith(".dirty")
    assert found.commit == short(committed) + "-dirty"
    assert found.time == COMMIT_TIME + 60


def test_a_file_from_the_future_is_as_old_as_the_build(committed):
    now = int(time.time())
    (committed / "new.py").write_text("2\n")
    os.utime(committed / "new.py", (now + 9999, now + 9999))
    assert now <= read_revision(root=committed).time < now + 999


def test_a_commit_from_the_future_is_refused(committed):
    now = int(time.time())
    git(committed, "commit", "-qm", "soon", "--allow-empty", when=now + 3600)
    assert read_revision(root=committed).time == now + 3600  # somebody's clock is a bit wrong
    git(committed, "commit", "-qm", "far", "--allow-empty", when=4_000_000_000)
    with pytest.raises(UsageError, match=f"{short(committed)} in .* 2096-10-02 .*--amend"):
        read_revision("1.0", committed)
    git(committed, "commit", "-q", "--amend", "--no-edit", "--allow-empty", when=now)
    assert read_revision(root=committed).time == now


def test_a_deleted_file_makes_it_dirty(committed):
    (committed / "frozen" / "main.py").unlink()
    found = read_revision(root=committed)
    assert found.commit.endswith("-dirty")
    assert found.time == COMMIT_TIME


def test_without_git_the_newest_input_tells_the_time(project):
    assert read_revision(root=project) == Revision("0.1.0", "unknown", COMMIT_TIME - 5)


def test_a_tag_that_is_too_long_for_boards_is_refused(committed):
    git(committed, "tag", "v" + "1" * MAX_VERSION)
    assert len(read_revision(root=committed).version) == MAX_VERSION
    git(committed, "tag", "--delete", "v" + "1" * MAX_VERSION)
    git(committed, "tag", "v" + "1" * (MAX_VERSION + 1))
    with pytest.raises(UsageError, match="65 bytes in UTF-8; 64 is the most. Give another one"):
        read_revision(root=committed)


def test_a_given_version_wins(committed):
    assert read_revision("7.0-rc1", committed).version == "7.0-rc1"


@pytest.mark.parametrize("version", ["", " ", "a b", "-1", "1\n", "é", "1" * 32, '1"'])
def test_what_cannot_be_a_version_is_refused(committed, version):
    with pytest.raises(UsageError, match="cannot be a version"):
        read_revision(version, committed)
