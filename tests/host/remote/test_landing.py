"""Tests that nothing of a board lands outside of the folder that was chosen, whatever it says."""

import os
from pathlib import Path

import pytest
from lyingboard import LyingBoard

from mqhost.errors import BoardError, ToolError, UsageError
from mqhost.remote import landing
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.landing import Landing, write_file, write_named
from mqhost.remote.trees import get_tree

HOSTILE = (
    "../evil",
    "..",
    "a/../../evil",
    "/etc/evil",
    "//evil",
    "a//evil",
    "./evil",
    "a/./evil",
    "evil/",
    "",
    "a/",
)
ON_WINDOWS = ("..\\evil", "C:evil", "C:\\evil", "a\\..\\evil", "nul:", "evil. ", "evil.", 'a"b')


@pytest.fixture
def board(broker, prefix):
    with LyingBoard(broker.port, prefix) as running:
        yield running


@pytest.fixture
def inside(tmp_path):
    """Give the folder that is chosen; the folder around it must stay as it is."""
    chosen = tmp_path / "outside" / "chosen"
    chosen.mkdir(parents=True)
    yield chosen
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["chosen"]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_name_is_refused_before_anything_is_written(session, board, inside, path):
    board.entries = [["good", 1], [path, 4]]
    board.contents = {"/good": b"g", "/" + path: b"evil"}
    with pytest.raises(BoardError):
        get_tree(BoardFiles(session), "/", inside)
    assert list(inside.iterdir()) == []


@pytest.mark.parametrize("path", ["a\0b", "\0"])
def test_a_name_with_nul_is_no_answer(session, board, inside, path):
    board.entries = [[path, 4]]
    with pytest.raises(BoardError, match="not understood"):
        get_tree(BoardFiles(session), "/", inside)


@pytest.mark.parametrize("path", ON_WINDOWS)
def test_what_windows_takes_for_a_path_is_no_name_there(monkeypatch, path):
    monkeypatch.setattr(landing.os, "name", "nt")
    monkeypatch.setattr(landing, "_NOT_IN_NAMES", "\0/\\")
    assert not landing.is_name(path)


def test_a_backslash_is_a_letter_here(session, board, inside):
    board.entries = [["..\\evil", 4]]
    board.contents = {"/..\\evil": b"good"}
    get_tree(BoardFiles(session), "/", inside)
    assert [path.name for path in inside.iterdir()] == ["..\\evil"]


@pytest.mark.parametrize("entries", [[["link/evil", 4]], [["link", None], ["link/evil", 4]]])
def test_a_link_that_leads_outside_is_not_followed(session, board, inside, tmp_path, entries):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (inside / "link").symlink_to(elsewhere)
    board.entries = entries
    board.contents = {"/link/evil": b"evil"}
    with pytest.raises(BoardError, match="symbolic link"):
        get_tree(BoardFiles(session), "/", inside)
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(inside, tmp_path):
    target = tmp_path / "target"
    target.write_text("kept")
    (inside / "link").symlink_to(target)
    Landing(inside).write("link", b"new")
    assert target.read_text() == "kept"
    assert (inside / "link").read_bytes() == b"new" and not (inside / "link").is_symlink()


def test_a_pipe_that_is_named_takes_the_bytes_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_named(pipe, b"data")
        assert os.read(reader, 100) == b"data"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_device_that_is_named_stays_even_if_it_is_a_link_to_a_file(tmp_path, monkeypatch):
    target = tmp_path / "target"
    target.write_text("what standard output goes to")
    (tmp_path / "stdout").symlink_to(target)
    monkeypatch.setattr(landing, "_DEVICES", tmp_path)
    write_named(tmp_path / "stdout", b"data")
    assert (tmp_path / "stdout").is_symlink() and target.read_bytes() == b"data"


def test_a_device_that_takes_nothing_is_an_error_in_words():
    with pytest.raises(UsageError, match="/dev/full cannot be written: No space left"):
        write_named(Path("/dev/full"), b"data")
    assert Path("/dev/full").is_char_device()


def test_who_may_read_a_file_is_not_changed_by_getting_it(tmp_path):
    write_file(tmp_path / "secret", b"old")
    (tmp_path / "secret").chmod(0o600)
    write_file(tmp_path / "secret", b"new")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    before = os.umask(0o077)
    try:
        write_file(tmp_path / "private", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_a_file_where_a_folder_should_be_is_an_error_and_the_reverse(inside):
    (inside / "folder").mkdir()
    write_file(inside / "file", b"kept")
    for path in ("folder", "file/x"):
        with pytest.raises(UsageError):
            Landing(inside).write(path, b"x")
    with pytest.raises(UsageError):
        Landing(inside).make_folder("file")
    assert (inside / "file").read_bytes() == b"kept"
    assert sorted(os.listdir(inside)) == ["file", "folder"]


def test_the_longest_names_are_written(inside):
    write_file(inside / ("x" * 255), b"data")
    assert (inside / ("x" * 255)).read_bytes() == b"data"
    with pytest.raises(UsageError):
        write_file(inside / ("x" * 256), b"data")


def test_a_file_that_cannot_be_got_is_an_error_when_the_others_are_there(session, board, inside):
    board.entries = [["a", 1], ["gone", 1], ["z", 1]]
    board.contents = {"/a": b"a", "/z": b"z"}
    with pytest.raises(ToolError, match="gone"):
        get_tree(BoardFiles(session), "/", inside)
    assert sorted(os.listdir(inside)) == ["a", "z"]


def test_more_bytes_than_were_asked_for_are_not_taken(session, board, inside):
    board.entries = [["a", 100]]
    board.contents = {"/a": bytes(100)}
    board.surplus = b"more"
    with pytest.raises(BoardError, match="more of a file"):
        get_tree(BoardFiles(session), "/", inside)


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"nonsense\n",
        b'"text"\n',
        b"[" * 5000 + b"\n",
        b'["a", "b"]\n{"done": 1}\n',
        b'["a", 1',
        b"[]\n{}\n",
        b"[1, 2]\n{}\n",
        b"x" * 70_000,
        b'{"error": 5}\n',
        b'{"error": "ENOENT", "path": ["x"]}\n',
    ],
)
def test_nonsense_is_an_error_in_words(session, board, lines):
    board.lines = lines
    files = BoardFiles(session)
    for ask in (lambda: files.ls("/"), lambda: files.stat("/a"), files.df):
        with pytest.raises(ToolError):
            ask()


def test_a_path_here_is_never_made_of_the_boards_root(tmp_path):
    assert Landing(tmp_path).place("a/b") == tmp_path / "a" / "b"
    assert isinstance(Landing(tmp_path).place("a"), Path)
