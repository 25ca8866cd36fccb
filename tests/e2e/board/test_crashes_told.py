"""Tests on a real board that who fills the heap is stopped, or named after the reset; and so is a
management task that dies again and again.
"""

from waiting import wait_until

from mqhost.errors import BoardError, SilentBoardError

EATER = b"""
import asyncio
kept = []
async def start(board, settings):
    await asyncio.sleep(0.5)
    while True:
        try:
            kept.append(bytearray(500))
        except MemoryError:
            await asyncio.sleep(1)
"""
CROWD = b"""
import asyncio
async def sleeper():
    await asyncio.sleep(1_000_000)
async def start(board, settings):
    if board.identity.reset_cause == "reset":
        return  # once is enough
    for _ in range(1000):
        asyncio.create_task(sleeper())
"""


def answers(board):
    """Return whether the board has the memory for an eval."""
    try:
        with board.session(timeout=2) as session:
            return session.request("eval", b"1+1").data == b"2"
    except (BoardError, SilentBoardError):
        return False


def test_a_module_that_eats_the_heap_is_stopped_and_management_stays_reachable(make_board):
    board = make_board(files={"/eater.py": EATER}, modules={"eater": {}})
    board.device.wait_console("the heap is full: stopping module eater", 40)
    board.device.wait_console("task module eater died")
    wait_until(lambda: answers(board))  # it eats again and again, after longer and longer pauses
    assert len(board.device.boots) == 1


def test_a_crowd_of_tasks_that_fills_the_heap_is_ended_by_a_reset_and_its_module_named(make_board):
    board = make_board(files={"/crowd.py": CROWD}, modules={"crowd": {}})
    board.device.wait_boots(2)
    with board.session() as session:
        board.wait_status(session, lambda status: status.get("crashes"))
        record = session.request_json("crash", b"show")
    assert (record["kind"], record["running"]) == ("exception", "module crowd")
    assert "MemoryError" in record["traceback"]


def test_a_management_task_that_dies_again_and_again_is_named_with_its_traceback(board):
    board.eval(
        "def bad(): 1/0\nboard._publish_birth = bad\n"
        "board.supervisor.find('birth').deaths = 9\nboard.announce()"
    )
    board.device.wait_boots(2)
    with board.session() as session:
        board.wait_status(session, lambda status: status.get("crashes"))
        record = session.request_json("crash", b"show")
    assert (record["kind"], record["running"]) == ("exception", "task birth")
    assert record["traceback"].endswith(
        'in _publish_births\n  File "<eval>", line 1, in bad\nZeroDivisionError: divide by zero\n'
    )
