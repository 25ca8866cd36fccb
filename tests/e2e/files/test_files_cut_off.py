"""Tests files over connections that are cut again and again, the board's and ours."""

import random
from types import SimpleNamespace

import pytest

from ci.proxies.faultproxy import FaultProxy, cut_at_random
from mqhost.link.session import Session
from mqhost.remote.board_files import BoardFiles

DATA = random.Random(3).randbytes(200_000)
_WITHIN = 150_000  # bytes of each connection


def there_and_back(session):
    files = BoardFiles(session)
    files.write("/f", DATA)
    assert files.read("/f") == DATA
    assert [entry.path for entry in files.ls("/")] == ["config.json", "f"]


@pytest.mark.parametrize("seed", range(2))
def test_our_connection_is_cut_at_random(board, seed):
    with FaultProxy(board.broker.port, cut_at_random(seed, _WITHIN)) as proxy:
        with Session(board.settings(port=proxy.port)) as session:
            there_and_back(session)
        assert proxy.cuts


@pytest.mark.parametrize("seed", range(2))
def test_the_boards_connection_is_cut_at_random(make_board, broker, seed):
    with FaultProxy(broker.port, cut_at_random(seed, _WITHIN)) as proxy:
        way = SimpleNamespace(host=broker.host, port=proxy.port)
        board = make_board(at=way)
        with board.session(port=broker.port) as session:
            board.wait_status(session, lambda status: True)
            there_and_back(session)
        assert proxy.cuts
