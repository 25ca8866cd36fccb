"""Updates boards whose application leaves hardly any memory: done or refused, without a visit."""

import pytest
from hog import HOG
from waiting import wait_until

from mqhost.errors import BoardError, RefusedError, SilentBoardError
from mqhost.signing.offer import load_image
from mqhost.update.push import push

# An application that takes whatever becomes free while an update runs.
GREEDY = b"""
import asyncio

async def start(board, settings):
    kept = []
    while not board.receiver:
        await asyncio.sleep(0.02)
    print("greedy: begins")
    while True:
        try:
            kept.append(bytearray(256))
        except MemoryError:
            await asyncio.sleep(0.01)
"""

# Leaves garbage from the bottom of the heap to its top, where there is room for a command's code.
LITTER = """
import gc, sys
def litter(room=40_000):
    gc.collect()
    top = 0
    while True:
        at = id(bytearray(64))
        if at < top - 20_000:
            break
        top = max(top, at)
    while id(bytearray(64)) < top - room:
        pass
    return top - room
"""
KEEPER = b"""
import asyncio

async def start(board, settings):
    await asyncio.sleep(1_000_000)
"""

QUICK = {"health_s": 0.5, "confirm_s": 10}


def try_update(board, image):
    """Push; return what kept the update from succeeding, or None."""
    with board.session() as session:
        try:
            push(session, *load_image(image.app), patience=15, confirm_timeout=40)
        except (RefusedError, BoardError, SilentBoardError) as error:
            return error
    return None


def answers(board):
    """Return whether it answers; that there is no memory for the command is an answer as well."""
    try:
        return board.eval("6*7") == "42"
    except BoardError as error:
        return "MemoryError" in str(error)


@pytest.mark.parametrize("leave", [50_000, 40_000, 30_000, 15_000, 8_000])
def test_an_application_that_fills_the_heap_keeps_no_board_from_coming_back(
    make_board, firmware, variant, leave
):
    new = variant("2.0.0")
    board = make_board(files={"/hog.py": HOG}, modules={"hog": {"leave": leave}}, update=QUICK)
    board.wait_online()
    board.device.wait_console("hog: ")
    trouble = try_update(board, new)
    status = board.wait_confirmed()
    assert status["image"] == (firmware if trouble else new).sha256, trouble
    assert answers(board)


def test_an_application_that_takes_the_heap_during_an_update(make_board, firmware, variant):
    new = variant("2.0.0")
    board = make_board(files={"/greedy.py": GREEDY}, modules={"greedy": {}}, update=QUICK)
    board.wait_online()
    board.device.latency(True)  # so that there is a while for it
    trouble = try_update(board, new)
    board.device.wait_console("greedy: begins")
    board.device.latency(False)
    status = board.wait_confirmed()
    assert status["image"] == (firmware if trouble else new).sha256, trouble
    assert answers(board)


def test_what_was_used_a_moment_ago_makes_way_for_an_update(make_board):
    board = make_board()
    board.wait_settled()
    loaded = "'mqboard.files.service' in __import__('sys').modules"
    with board.session() as session:
        session.request("ls", b'{"path":"/"}')
        assert board.eval(loaded) == "True"
        session.request("update", b"{}")
        assert board.eval(loaded) == "False"


def test_what_is_loaded_amid_garbage_leaves_the_memory_in_one_piece(make_board, variant):
    board = make_board(files={"/keeper.py": KEEPER}, modules={"keeper": {}})
    board.wait_settled()
    wait_until(lambda: board.eval("board.modules.all[0].state()") == "'running'")
    board.eval(LITTER)
    with board.session() as session:
        for name, command, body in (
            ("mqboard.files.service", "ls", b'{"path":"/"}'),
            ("mqboard.commands.log", "log", b"{}"),
            ("keeper", "modules", b"restart keeper"),
        ):
            full = int(board.eval("litter()"))
            session.request(command, body)
            # Without a collection before it, it would have gone on where the garbage ends. (What
            # is not there any more has been unloaded: once in ten seconds.)
            assert int(board.eval(f"id(sys.modules.get({name!r}, 0))")) < full, name
        # Every second one of small things is dropped, then the rest: no obstacle for an update.
        board.eval(
            "few = []\nwhile gc.mem_free() > 30_000: few.append(bytearray(100))\n"
            "for number in range(0, len(few), 2): few[number] = None"
        )
        session.request("ls", b'{"path":"/"}')
    board.eval("few.clear()")
    assert try_update(board, variant("2.0.0")) is None


def test_an_update_that_found_no_room_to_begin_is_nobody_elses_trouble(board, variant):
    board.eval(
        "add = board.supervisor.add\n"
        "def full(name, *rest, **options):\n"
        "    if name != 'update':\n"
        "        return add(name, *rest, **options)\n"
        "    board.supervisor.add = add\n"
        "    raise MemoryError\n"
        "board.supervisor.add = full"
    )
    assert "MemoryError" in str(try_update(board, variant("2.0.0")))
    assert try_update(board, variant("2.0.0")) is None
