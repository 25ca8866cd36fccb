"""Tests how long files wait for a board: not long for one that never answered."""

import time
from dataclasses import replace

import pytest
from lyingboard import LyingBoard

from mqhost.errors import BrokerError, SilentBoardError
from mqhost.link.session import Session
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.patience import Patience


@pytest.fixture
def files(settings, broker, prefix):
    with (
        LyingBoard(broker.port, prefix) as board,
        Session(replace(settings, timeout=0.3)) as session,
    ):
        board.silent = {"put", "get", "ls"}
        yield BoardFiles(session)


@pytest.mark.parametrize(
    "work",
    [
        lambda files: files.write("/small", b"x"),
        lambda files: files.write("/large", bytes(100_000)),
        lambda files: files.read("/f"),
        lambda files: files.ls("/"),
    ],
)
def test_a_board_that_never_answers_is_told_soon(files, work):
    start = time.monotonic()
    with pytest.raises(SilentBoardError):
        work(files)
    assert time.monotonic() - start < 30  # and not after a minute


class Connection:
    connected = True

    def wait_connected(self, timeout):
        return self.connected


class FakeSession:
    class settings:
        timeout = 0.2

    births = 0

    def __init__(self):
        self.connection = Connection()

    def wait_status(self, predicate, timeout):
        return None

    def silence(self, waited):
        return SilentBoardError(f"{waited:g}") if self.connection.connected else BrokerError("lost")


def test_patience_is_short_until_the_board_answers_and_begins_anew_with_progress():
    patience = Patience(FakeSession(), 50)
    patience.pause()
    time.sleep(0.2)
    with pytest.raises(SilentBoardError, match="0.2"):
        patience.pause()
    patience.answered()
    patience.pause()
    patience._until = 0
    patience.answered()
    with pytest.raises(SilentBoardError, match="50"):
        patience.pause()
    patience.progressed()
    patience.pause()


def test_a_lost_broker_is_told_as_that():
    session = FakeSession()
    session.connection.connected = False
    with pytest.raises(BrokerError):
        Patience(session, 50).pause()
