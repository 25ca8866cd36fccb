"""Tests files on a real board over a real broker: every size, every name, whole trees."""

import hashlib
import random

import pytest

from mqhost.remote.board_files import BoardFiles
from mqhost.remote.faults import FileError, FileRefused
from mqhost.remote.getting import Wanted

SIZES = (0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 131_073, 300_000)
NAMES = ("a b.py", 'it\'s "quoted"', "küche 灯.txt", ".hidden", "x" * 255, "b\\c", "+#", "n\nl")


@pytest.fixture(scope="module")
def files(shared_board):
    with shared_board.session() as session:
        yield BoardFiles(session)


@pytest.fixture(autouse=True)
def folder(files):
    files.mkdir(["/work"])
    yield "/work"
    files.rm(["/work"], recursive=True)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_comes_back_as_it_went(files, size):
    data = random.Random(size).randbytes(size)
    seen = []
    files.write("/work/f", data, progress=lambda what, done, total: seen.append((done, total)))
    assert seen[-1] == (size, size)
    assert files.read("/work/f") == data
    assert files.stat("/work/f", sha=True).sha256 == hashlib.sha256(data).hexdigest()
    assert [entry.path for entry in files.ls("/work")] == ["f"]


def test_names_of_every_kind_come_back_as_they_went(files):
    for name in NAMES:
        files.write("/work/" + name, name.encode())
    assert {entry.path for entry in files.ls("/work")} == set(NAMES)
    for name in NAMES:
        assert files.read("work/" + name) == name.encode()


def test_a_tree_of_many_files_goes_up_and_comes_back(files):
    tree = {f"/work/d{n % 7}/m{n}.py": f"# {n}\n".encode() * (n % 200) for n in range(150)}
    contents = [(path, lambda data=data: data) for path, data in tree.items()]
    files.write_all(contents, parents=True)
    entries = files.ls("/work", recursive=True, sha=True)
    entries = [entry for entry in entries if not entry.is_folder]
    found = {"/work/" + entry.path: entry.sha256 for entry in entries}
    assert found == {path: hashlib.sha256(data).hexdigest() for path, data in tree.items()}
    wanted = [Wanted("/work/" + entry.path, entry.size) for entry in entries]
    files.read_all(wanted)
    assert {each.path: each.data for each in wanted} == tree


def test_files_move_are_copied_and_removed(files):
    files.write("/work/a", b"data")
    files.cp("/work/a", "/work/b")
    files.mv("/work/a", "/work/c")
    files.touch(["/work/d"])
    assert [entry.path for entry in files.ls("/work")] == ["b", "c", "d"]
    assert files.rm(["/work/b", "/work/c", "/work/d"]) == 3
    assert files.ls("/work") == []
    volume = files.df()[-1]
    assert volume.path == "/" and 0 < volume.free < volume.size


def test_what_cannot_be_is_an_error_that_says_so(files):
    files.mkdir(["/work/d"])
    for work, reason in (
        (lambda: files.read("/work/none"), "ENOENT"),
        (lambda: files.read("/work/d"), "EISDIR"),
        (lambda: files.write("/work/d", b"x"), "EISDIR"),
        (lambda: files.write("/work/none/f", b"x"), "ENOENT"),
        (lambda: files.mkdir(["/work/d"]), "EEXIST"),
        (lambda: files.rm(["/"], recursive=True), "EBUSY"),
        (lambda: files.ls("/work/none"), "ENOENT"),
    ):
        with pytest.raises(FileError) as caught:
            work()
        assert caught.value.reason == reason
    with pytest.raises(FileRefused) as refused:
        files.write("/work/large", bytes(2_000_000))
    assert "there is no room" in str(refused.value)
    assert files.ls("/work") == files.ls("/work", recursive=True)


def test_a_long_command_ends_when_it_is_cancelled_and_files_never_wait_behind_code(files):
    data = random.Random(1).randbytes(800_000)  # hashed for many turns of others
    files.write("/work/f", data)
    session = files.session
    with session.open("ls") as exchange, session.open("eval") as other:
        other.send(b"import asyncio\nawait asyncio.sleep(60)")
        exchange.send(b'{"path": "/work", "sha": true}')
        session.request("cancel", tail=exchange.ident)
        (reply,) = exchange.parts(10)
        assert b'"error"' in reply and b"cancelled" in reply
        assert files.read("/work/f") == data
        session.request("cancel", tail=other.ident)
