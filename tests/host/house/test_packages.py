"""Tests the Debian packages: what counts as missing, and how it is got or asked for."""

import os
import subprocess

import pytest

from mqhost import packages
from mqhost.errors import ToolError

GHOST = packages.Package("ghost-dev", "no-such-program", "haunts the tests", ("build", "test"))
HEADER = packages.Package("ghost-headers", "no/such.h", "is not there either", ("source",))


@pytest.fixture
def two_missing(monkeypatch):
    monkeypatch.setattr(packages, "PACKAGES", (GHOST, HEADER))


@pytest.fixture
def apt(monkeypatch, tmp_path):
    """Make a machine where we are root and apt-get is a script that notes how it was called."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    log = tmp_path / "log"
    script = tmp_path / "apt-get"

    def write(body: str):
        script.write_text(f'#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >> {log}\n{body}\n')
        script.chmod(0o755)
        return log

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return write


def test_what_is_there_is_not_missing(monkeypatch):
    program = packages.Package("dash", "sh", "runs scripts", ("build",))
    monkeypatch.setattr(packages, "PACKAGES", (program,))
    assert packages.missing("build") == ()


def test_a_program_is_found_where_debian_hides_it(monkeypatch, tmp_path):
    hidden = packages.Package("ghost", "ghostd", "haunts the tests", ("test",))
    monkeypatch.setattr(packages, "POSTGRES", f"{tmp_path}/*/bin")
    assert not hidden.present
    program = tmp_path / "15" / "bin" / "ghostd"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert hidden.present


def test_what_is_no_program_is_found_by_its_path(tmp_path):
    letters = packages.Package("fonts-ghost", f"{tmp_path}/ghost", "writes", ("page",))
    assert not letters.present
    (tmp_path / "ghost").mkdir()
    assert letters.present


def test_only_what_a_purpose_needs_is_missing(two_missing):
    assert packages.missing("build") == (GHOST,)
    assert packages.missing("broker") == ()
    assert packages.missing() == (GHOST, HEADER)


def test_an_unknown_purpose_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="unknown purpose cooking"):
        packages.missing("cooking")


def test_every_package_says_what_it_is_for():
    for package in packages.PACKAGES:
        assert package.reason
        assert package.purposes and set(package.purposes) <= set(packages.PURPOSES)


def test_without_root_the_command_is_named(two_missing, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ToolError) as caught:
        packages.ensure("build", "source")
    text = str(caught.value)
    assert "ghost-dev (haunts the tests)" in text
    assert "apt-get install --no-install-recommends ghost-dev ghost-headers" in text


def test_root_installs_without_being_asked_anything(two_missing, apt):
    log, said = apt("exit 0"), []
    packages.ensure("build", say=said.append)
    (line,) = log.read_text().splitlines()
    assert line.startswith("noninteractive ") and line.endswith("install ghost-dev")
    assert said == ["Installing Debian packages: ghost-dev (haunts the tests)"]


def test_stale_package_lists_are_updated(two_missing, apt, tmp_path):
    seen = tmp_path / "updated"
    log = apt(f'case "$*" in *update) touch {seen};; *) test -e {seen};; esac')
    packages.ensure("build")
    assert [line.split()[-1] for line in log.read_text().splitlines()] == [
        "ghost-dev",
        "update",
        "ghost-dev",
    ]


def test_a_failure_tells_what_apt_said(two_missing, apt):
    apt("echo 'E: the archive is on holiday'; exit 100")
    with pytest.raises(ToolError, match="the archive is on holiday") as caught:
        packages.ensure("build")
    assert "apt-get install" in str(caught.value)


def test_the_install_command_is_one_apt_understands():
    argv = packages.install_command(packages.PACKAGES).split()
    result = subprocess.run([*argv, "--help"], capture_output=True)
    assert result.returncode == 0
