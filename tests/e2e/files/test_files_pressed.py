"""Tests files on boards with hardly any memory left: they are carried, or refused in words."""

import random

import pytest
from hog import HOG
from waiting import wait_until

from mqhost.errors import ToolError
from mqhost.remote.board_files import BoardFiles

OLD = b"old"
DATA = random.Random(4).randbytes(60_000)


@pytest.mark.parametrize("leave", [30_000, 6_000])
def test_a_full_heap_damages_no_file_and_the_board_goes_on(make_board, leave):
    files = {"/hog.py": HOG, "/f": OLD}
    board = make_board(files=files, modules={"hog": {"leave": leave}})
    board.wait_online()
    board.device.wait_console("hog: ")
    with board.session(timeout=20) as session:
        remote = BoardFiles(session, patience=20)
        put = False
        try:
            remote.write("/f", DATA)
            put = True
            assert remote.read("/f") == DATA
            assert "f" in [entry.path for entry in remote.ls("/", sha=True)]
        except ToolError as error:
            assert "memory" in str(error).lower(), error
    with board.session() as session:
        freed(session)
        remote = BoardFiles(session)
        found = remote.read("/f")
        assert found == DATA if put else found in (OLD, DATA)
        remote.write("/f", DATA[::-1])
        assert remote.read("/f") == DATA[::-1]
    assert len(board.device.boots) == 1


def freed(session):
    """Have the application let go of its memory, as soon as there is enough to say so."""
    session.request("modules", b"disable hog")
    session.request("eval", b"import gc; gc.collect()")


def test_an_idle_board_has_nothing_of_it_in_memory(board):
    board.wait_settled()
    loaded = "[name for name in __import__('sys').modules if 'mqboard.files' in name]"
    with board.session() as session:
        BoardFiles(session).write("/f", DATA)
    assert "mqboard.files.incoming" in board.eval(loaded)
    board.eval("board.files._used -= 20000")
    wait_until(lambda: board.eval(loaded) == "[]")
