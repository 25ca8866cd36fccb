"""Tests that the command line of the first MQBoard does with our board what it did with its own."""

import hashlib
import os

import pytest
from seedtool import DATA, BoardSays, SeedTool


@pytest.fixture
def tool(shared_board):
    with SeedTool(shared_board.broker.port, shared_board.prefix) as opened:
        yield opened


def test_eval_gives_the_value_or_what_was_printed(tool):
    assert tool.eval("45+876") == "921"
    assert tool.eval("import sys; print(sys.implementation[0])") == "micropython\n"
    assert tool.eval("counted = 1\n") == ""
    assert tool.eval("counted") == "1"
    with pytest.raises(BoardSays, match="ZeroDivisionError"):
        tool.eval("1/0")
    with pytest.raises(BoardSays, match="not supported"):
        tool.perform("ota", b"firmware", "0" * 64)


@pytest.mark.parametrize("size", [0, 1, DATA - 1, DATA, DATA + 1, 20 * DATA, 70 * DATA])
def test_what_is_put_without_waiting_arrives_whole(tool, size):
    data = os.urandom(size)
    tool.put(data, "/put.bin")
    assert tool.get("/put.bin") == data
    tool.put(b"shorter", "put.bin")  # paths begin at the root folder, with a slash or without
    assert tool.get("put.bin") == b"shorter"
    tool.rm("/put.bin")


def test_a_put_of_more_than_100_kib_goes_on_as_it_is_told(tool):
    data = os.urandom(300_000)
    tool.put(data, "/long.bin")
    assert tool.most_ahead <= 16
    assert tool.eval("__import__('os').stat('/long.bin')[6]") == "300000"
    assert tool.get("/long.bin") == data
    tool.rm("/long.bin")


def test_folders_are_made_listed_and_removed(tool):
    tool.mkdir_path("/seed/deep")
    tool.mkdir("/seed/other")
    tool.put(b"one", "/seed/one.py")
    tool.put(b"inside", "/seed/deep/inside.py")
    assert tool.ls("/seed") == {"deep/": 0, "other/": 0, "one.py": 3}
    assert tool.ls_recursive("/seed") == {"/seed/one.py": 3, "/seed/deep/inside.py": 6}
    assert "seed/" in tool.ls()
    assert tool.ls_recursive()["/config.json"] > 100
    assert tool.ls_sha("/seed") == {"one.py": hashlib.sha1(b"one").hexdigest()}
    with pytest.raises(BoardSays, match="OSError"):
        tool.rmdir("/seed/deep")
    tool.rm("/seed/deep/inside.py")
    for folder in ("/seed/deep", "/seed/other"):
        tool.rmdir(folder)
    tool.rm("/seed/one.py")
    tool.rmdir("/seed")
    assert "seed/" not in tool.ls("/")


def test_what_is_not_there_is_an_error(tool):
    with pytest.raises(BoardSays, match="ENOENT"):
        tool.get("/nothing.py")
    with pytest.raises(BoardSays, match="ENOENT"):
        tool.put(b"data", "/no/folder/file.py")
    with pytest.raises(BoardSays, match="OSError"):
        tool.rm("/nothing.py")


def test_sync_puts_what_differs_and_nothing_else(tool):
    files = {"a.py": b"a = 1\n", "b.py": b"b = 2\n", "c.bin": os.urandom(5000)}
    assert tool.sync("/synced/lib", files) == ["a.py", "b.py", "c.bin"]
    assert tool.sync("/synced/lib", files) == []
    files["b.py"] = b"b = 3\n"
    assert tool.sync("/synced/lib", files) == ["b.py"]
    assert tool.get("/synced/lib/b.py") == b"b = 3\n"


def test_each_of_its_resets_is_one_and_no_crash(shared_board, tool):
    with shared_board.session() as session:
        for how, mode in (
            ("hard", "normal"),
            ("safe", "safe"),
            ("soft", "normal"),
            ("normal", "normal"),
        ):
            boot = session.request_json("info")["boot_id"]
            tool.reset(how)
            status = shared_board.wait_status(
                session, lambda status, boot=boot: status["boot_id"] != boot
            )
            assert (how, status["mode"]) == (how, mode)
            assert "crashes" not in status


def test_view_follows_the_log(tool):
    following = tool.view(["W ", "a line that is printed"])
    next(following)
    tool.eval("from mqboard.log import Logger; Logger('seed').warning('careful')")
    tool.eval("from mqboard.log import Logger; Logger('seed').error('a line that is printed')")
    lines = next(following)
    assert lines[-1].startswith("E ") and lines[-1].endswith("seed: a line that is printed")
