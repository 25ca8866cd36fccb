"""Tests what a board is given of a folder that it imports from, and what not."""

import os

import pytest

from mqhost.errors import UsageError
from mqhost.mount import Folder
from mqwire import mount as wire


def entries(folder):
    """Return the listing as {path: size}."""
    lines = folder.listing().decode().split("\n")
    return dict(line.split("\0") for line in lines if line)


@pytest.fixture
def desk(tmp_path):
    made = tmp_path / "desk"
    (made / "lamp").mkdir(parents=True)
    (made / "lamp/__init__.py").write_text("")
    (made / "größe.py").write_text("x = 1\n")
    return made


def test_the_listing_has_all_files_and_folders_with_sizes(desk):
    assert entries(Folder(desk)) == {"lamp": "-", "lamp/__init__.py": "0", "größe.py": "6"}


def test_what_tools_leave_and_what_is_hidden_is_not_served(desk):
    (desk / ".git").mkdir()
    (desk / ".git/config").write_text("url = secret")
    (desk / ".env").write_text("PASSWORD=1")
    (desk / "__pycache__").mkdir()
    (desk / "two\nlines.py").write_text("")
    os.mkfifo(desk / "pipe.py")
    folder = Folder(desk)
    assert set(entries(folder)) == {"lamp", "lamp/__init__.py", "größe.py"}
    for path in (".env", ".git/config", "pipe.py"):
        with pytest.raises(FileNotFoundError):
            folder.read(path)


def test_nothing_outside_is_served_whatever_links_say(desk, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.py").write_text("KEY = 1\n")
    (desk / "file.py").symlink_to(tmp_path / "outside/secret.py")
    (desk / "folder").symlink_to(tmp_path / "outside")
    (desk / "circle").symlink_to(desk)
    (desk / "self.py").symlink_to("self.py")
    (desk / "inside.py").symlink_to("größe.py")
    folder = Folder(desk)
    assert set(entries(folder)) == {"lamp", "lamp/__init__.py", "größe.py", "inside.py"}
    assert folder.read("inside.py") == b"x = 1\n"
    for path in ("file.py", "folder/secret.py", "../outside/secret.py", "/etc/passwd", "lamp"):
        with pytest.raises(OSError):
            folder.read(path)


def test_a_file_that_becomes_a_link_out_of_the_folder_is_not_read(desk, tmp_path):
    folder = Folder(desk)
    assert "größe.py" in entries(folder)
    (tmp_path / "secret").write_text("KEY = 1\n")
    (desk / "größe.py").unlink()
    (desk / "größe.py").symlink_to(tmp_path / "secret")
    with pytest.raises(FileNotFoundError):
        folder.read("größe.py")


def test_too_many_names_are_refused_with_the_numbers(desk):
    for number in range(600):
        (desk / f"a-rather-long-name-{number:04}.py").write_text("")
    with pytest.raises(UsageError, match=rf"603 files .* {wire.MAX_LISTING:,} B is the most"):
        Folder(desk).listing()


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        Folder(tmp_path / "none")


def test_files_are_compiled_on_the_way_and_again_when_they_have_changed(desk):
    (desk / "wrong.py").write_text("x = = 1\n")
    folder = Folder(desk, compile=True)
    listed = entries(folder)
    assert set(listed) == {"lamp", "lamp/__init__.mpy", "größe.mpy", "wrong.py"}
    before = folder.read("größe.mpy")
    assert before[:1] == b"M" and len(before) == int(listed["größe.mpy"])
    (desk / "größe.py").write_text("other = 'thing'\n")
    assert int(entries(folder)["größe.mpy"]) == len(folder.read("größe.mpy")) != len(before)
    assert b"other" in folder.read("größe.mpy")
