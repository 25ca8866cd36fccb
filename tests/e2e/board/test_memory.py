"""Tests that nothing grows: after work of every kind, the board's heap is what it was before."""

import json
import time

import pytest
from signed import signed_offer
from waiting import wait_until

from mqhost.errors import ToolError
from mqhost.update.push import push
from mqwire import update as wire

SLACK = 2048  # bytes
CODE = 6144  # bytes of what the first update loads; it stays until the reset
EVALS = 1000
RECONNECTS = 20
UPDATES = 5


def heap_used(session):
    """Return the bytes in use after a collection, once the kept answers are `info`'s own."""
    for _ in range(8):
        facts = json.loads(session.request("info").data)
    return facts["heap_used"]


def wait_small(session, limit):
    """Wait until at most `limit` bytes are in use: what ended is cleared away once a second."""
    deadline = time.monotonic() + 20
    while (used := heap_used(session)) > limit and time.monotonic() < deadline:
        time.sleep(0.1)
    return used


def counts(board):
    """Return how many updates failed, and how many were refused, by the console."""
    text = board.device.console.text()
    return [text.count("update failed"), text.count("update refused")]


@pytest.fixture
def settled(board):
    """Give a board that is done with its boot, and the bytes its idle heap has in use."""
    board.wait_settled()
    with board.session() as session:
        session.request("eval", b"1+1")
        idle = min(heap_used(session) for _ in range(20))
    return board, idle


def test_evals_leave_nothing_behind(settled):
    board, idle = settled
    with board.session() as session:
        # No names or short strings that differ: MicroPython keeps each of those for ever.
        for number in range(EVALS):
            code = b"%d * 'x'" if number % 2 else b"print(%d)"
            session.request("eval", code % number)
        assert wait_small(session, idle + SLACK) <= idle + SLACK


def wait_connected(board, times):
    """Wait until the board has connected more than `times` times: its session is restored, too.

    A birth does not show that. One that nobody acknowledged before is sent again earlier.
    """
    board.wait_online()  # what this broker retained before its restart, it has forgotten
    wait_until(lambda: int(board.eval("board.client.connects")) > times)


def test_reconnects_leave_nothing_behind(settled, broker):
    board, idle = settled
    board.eval("board.client.backoff_ms = 20")
    for number in range(1, RECONNECTS + 1):
        broker.restart()
        wait_connected(board, number)
    with board.session() as session:
        assert int(session.request("eval", b"board.client.connects").data) > RECONNECTS
        assert wait_small(session, idle + SLACK) <= idle + SLACK
    assert len(board.device.boots) == 1


def test_failed_updates_leave_nothing_behind(settled):
    board, idle = settled
    with board.session() as session:
        fail_updates(session, 1)
        # What the first one loads and interns stays.
        once = wait_small(session, idle + CODE + SLACK)
        assert once <= idle + CODE + 2 * SLACK
        fail_updates(session, UPDATES)
        wanted = [1 + UPDATES] * 2  # on the console, which may come later than the reply
        wait_until(lambda: counts(board) == wanted, otherwise=lambda: str(counts(board)))
        assert session.request("eval", b"board.receiver").data == b"None"
        assert wait_small(session, once + SLACK // 4) <= once + SLACK // 4
    assert len(board.device.boots) == 1


def fail_updates(session, count):
    """Offer `count` images that are none, and as many for another board."""
    app = b"\xe9" + bytes(10_000)  # begins like an image, and is none
    for number in range(count):
        image = app + bytes((count, number))
        offer = signed_offer(image, version="bad")
        with pytest.raises(ToolError):
            push(session, offer, image)
        other = signed_offer(image, board="x", version="bad")
        request = wire.pack_request(other.to_bytes(), other.signature)
        answer = session.request("update", request).data
        assert wire.unpack_reply(answer)[0] == wire.WRONG_BOARD
