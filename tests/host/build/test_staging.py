"""Tests a source tree laid out for a build that writes beside what it builds."""

import os
from pathlib import Path

import pytest
from fakecheckout import snapshot

from mqhost.build.sources.staging import lay_out


@pytest.fixture
def source(tmp_path) -> Path:
    root = tmp_path / "source"
    for name in ("py/vm.c", "ports/unix/main.c", "ports/esp32/main.c", "ports/esp32/boards/x/b.h"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / ".git").mkdir()
    (root / "ports/esp32/lockfiles").mkdir()
    (root / "ports/esp32/lockfiles/lock").write_text("pinned")
    (root / "ports/esp32/build-X").mkdir()
    (root / "ports/esp32/managed_components").mkdir()
    return root


def test_the_port_is_a_copy_and_the_rest_are_links(source, tmp_path):
    target = tmp_path / "tree"
    before = snapshot(source)
    lay_out(source, "esp32", target)
    assert (target / "py").readlink() == source / "py"
    assert (target / "ports/unix").is_symlink()
    assert (target / "ports/esp32/boards/x/b.h").read_text() == "ports/esp32/boards/x/b.h"
    assert not any(path.is_symlink() for path in (target / "ports/esp32").rglob("*"))
    assert not (target / ".git").exists()
    (target / "ports/esp32/managed_components").mkdir()
    assert snapshot(source) == before


def test_what_builds_leave_in_the_source_is_not_taken_over(source, tmp_path):
    lay_out(source, "esp32", tmp_path / "tree")
    names = {path.name for path in (tmp_path / "tree/ports/esp32").iterdir()}
    assert names == {"main.c", "boards", "lockfiles"}


def test_what_the_build_left_in_the_copy_stays(source, tmp_path):
    port = tmp_path / "tree/ports/esp32"
    lay_out(source, "esp32", tmp_path / "tree")
    (port / "managed_components").mkdir()
    (port / "managed_components/part").write_text("downloaded")
    (port / "lockfiles/lock").write_text("solved")
    lay_out(source, "esp32", tmp_path / "tree")
    assert (port / "managed_components/part").read_text() == "downloaded"
    assert (port / "lockfiles/lock").read_text() == "solved"


def test_only_changed_files_are_copied_again(source, tmp_path):
    port = tmp_path / "tree/ports/esp32"
    lay_out(source, "esp32", tmp_path / "tree")
    before = snapshot(port)
    lay_out(source, "esp32", tmp_path / "tree")
    assert {k: v for k, v in snapshot(port).items() if Path(k).is_file()} == {
        k: v for k, v in before.items() if Path(k).is_file()
    }
    (source / "ports/esp32/main.c").write_text("changed")
    os.utime(source / "ports/esp32/main.c", ns=(1, 1))
    (source / "ports/esp32/boards/x/b.h").unlink()
    (source / "ports/esp32/new.c").write_text("new")
    lay_out(source, "esp32", tmp_path / "tree")
    assert (port / "main.c").read_text() == "changed"
    assert not (port / "boards/x/b.h").exists()
    assert (port / "new.c").exists()


def test_links_follow_the_source(source, tmp_path):
    target = tmp_path / "tree"
    lay_out(source, "esp32", target)
    (source / "extmod").mkdir()
    (source / "py/vm.c").unlink()
    (source / "py").rmdir()
    lay_out(source, "esp32", target)
    assert (target / "extmod").is_symlink()
    assert not (target / "py").is_symlink()
