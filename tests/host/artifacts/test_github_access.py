"""Tests which repository and token are used: every spelling of a remote, no secret shown."""

import pytest
from gitrepo import git

from mqhost.artifacts.github_access import find_api, find_repository, find_token, repository_of
from mqhost.errors import UsageError


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/owner/my.board",
        "https://github.com/owner/my.board.git",
        "https://github.com/owner/my.board/",
        "https://user:secret@github.com/owner/my.board.git",
        "git@github.com:owner/my.board.git",
        "ssh://git@github.com/owner/my.board.git",
        "ssh://git@ssh.github.com:443/owner/my.board.git",
        "git://github.com/owner/my.board",
        "github.com:owner/my.board",
    ],
)
def test_every_spelling_of_a_remote(remote):
    assert repository_of(remote) == "owner/my.board"


@pytest.mark.parametrize(
    "remote",
    [
        "",
        "origin",
        "/home/me/mqboard",
        "../mqboard",
        "https://gitlab.com/owner/name",
        "https://evil.example/github.com/owner/name",
        "git@github.com.evil.example:owner/name",
        "https://github.com/owner",
    ],
)
def test_a_remote_elsewhere_names_no_repository(remote):
    assert repository_of(remote) is None


def test_the_repository_comes_from_the_checkouts_remote(tmp_path):
    git(tmp_path, "init", "-q")
    with pytest.raises(UsageError, match="--repo OWNER/NAME"):
        find_repository(root=tmp_path)
    git(tmp_path, "remote", "add", "origin", "https://me:secret@gitlab.example/owner/name.git")
    with pytest.raises(UsageError) as caught:
        find_repository(root=tmp_path)
    assert "secret" not in str(caught.value)
    git(tmp_path, "remote", "set-url", "origin", "git@github.com:owner/name.git")
    assert find_repository(root=tmp_path) == "owner/name"
    assert find_repository("other/fork", root=tmp_path) == "other/fork"


@pytest.mark.parametrize("name", ["", "name", "a/b/c", "../x", "owner/..", "owner/na me", "a/b?x"])
def test_what_is_no_repository(name):
    with pytest.raises(UsageError, match="write it as OWNER/NAME"):
        find_repository(name)


def test_where_the_token_comes_from(tmp_path):
    assert find_token({"GITHUB_TOKEN": " abc\n", "PATH": ""}) == "abc"
    assert find_token({"PATH": str(tmp_path)}) == ""
    program = tmp_path / "gh"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    assert find_token({"PATH": str(tmp_path)}) == ""


def test_where_the_api_is():
    assert find_api({}) == "https://api.github.com"
    assert find_api({"GITHUB_API_URL": "https://git.example/api/v3/"}) == (
        "https://git.example/api/v3"
    )
