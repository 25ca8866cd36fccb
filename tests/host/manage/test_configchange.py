"""Tests how a board is followed through a change of its configuration, where it is not back."""

import pytest
from fakeboard import FakeBoard

from mqhost.errors import SilentBoardError, UsageError
from mqhost.link.session import Session
from mqhost.manage import configchange
from mqhost.manage.configchange import body_of, change
from mqhost.manage.configuration import fetch
from mqwire.config import MAX_KEPT


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(configchange, "_RESTARTS", 0.3)


def changed(session, **changes):
    old = fetch(session)
    return change(session, old, old.record | changes)


def test_a_silent_board_is_told_what_it_does_by_itself(session, board, impatient):
    board.outcome = "never back"
    with pytest.raises(SilentBoardError, match="it has gone back to the old one by itself"):
        changed(session, ntp="x")


def test_another_broker_is_named_where_the_board_may_be(session, board, impatient):
    board.outcome = "never back"
    with pytest.raises(SilentBoardError, match=r"another broker now, h2:1883, where"):
        changed(session, broker={"host": "h2", "tls": False})


def test_the_board_is_followed_to_another_prefix_and_leaves_nothing_behind(session, board):
    old = board.prefix
    board.facts["id"] = "a1"
    there = changed(session, prefix=old + "/new")
    assert there.prefix == board.prefix == old + "/new"
    with Session(session.settings) as fresh:
        assert fresh.wait_status(lambda status: True, 0.3) is None


def test_a_prefix_that_another_board_has_is_not_taken(session, board, broker):
    board.facts["id"] = "a1"
    with FakeBoard(broker.port, board.prefix + "/b") as other:
        other.facts["id"] = "b2"
        other.announce()
        with pytest.raises(UsageError, match="There is a board at .* already"):
            changed(session, prefix=other.prefix)
    assert board.boots == 1


def test_a_file_is_readable_if_that_is_not_too_long():
    record = {"modules": {str(number): {"n": number} for number in range(60)}}
    assert b"\n" in body_of(record)
    record["modules"] |= {str(number): {"n": number} for number in range(200)}
    assert b"\n" not in body_of(record) and len(body_of(record)) < MAX_KEPT
