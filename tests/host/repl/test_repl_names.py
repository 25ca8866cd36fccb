"""Tests completion at a prompt: what the board has told is remembered until code has run there."""

import json
import queue

import pytest

from mqhost.errors import SilentBoardError
from mqhost.repl.names import Names

TOLD = {
    "bo": ["board", "bool"],
    "board.": ["client", "config", "log"],
    "board.c": ["client", "config"],
    "board._": ["__class__"],
}


class Session:
    """A board that completes by TOLD; `more` of the texts in it have others besides."""

    def __init__(self):
        self.asked = []
        self.more = set()
        self.answers = True

    def request_json(self, command, body):
        assert command == "complete"
        text = json.loads(body)["text"]
        self.asked.append(text)
        if not self.answers:
            raise SilentBoardError("no answer")
        return {"names": TOLD.get(text, []), "more": text in self.more}


@pytest.fixture
def session():
    return Session()


@pytest.fixture
def find(session):
    """Give find(text) -> names; with find.names, whose memory it uses."""
    names = Names(session)

    def find(text):
        found = queue.SimpleQueue()
        names.ask(text, found.put)
        return found.get(timeout=10)

    find.names = names
    return find


def test_the_board_is_asked_once(session, find):
    assert find("bo") == find("bo") == ["board", "bool"]
    assert session.asked == ["bo"]


def test_another_letter_asks_nobody(session, find):
    find("board.")
    assert find("board.c") == ["client", "config"]
    assert find("board.client") == ["client"]
    assert find("board.x") == []
    assert session.asked == ["board."]


def test_names_with_an_underscore_are_not_among_all(session, find):
    find("board.")
    assert find("board._") == ["__class__"]
    assert find("board.__cl") == ["__class__"]
    assert session.asked == ["board.", "board._"]


def test_where_the_board_has_told_some_only_it_is_asked_again(session, find):
    session.more.add("board.")
    assert find("board.") == ["client", "config", "log"]
    assert find("board.c") == ["client", "config"]
    assert session.asked == ["board.", "board.c"]


def test_when_code_has_run_it_is_asked_again(session, find):
    find("bo")
    find.names.forget()
    assert find.names.known("bo") is None
    find("bo")
    assert session.asked == ["bo", "bo"]


def test_what_was_asked_before_code_ran_is_not_remembered(session, find):
    def told_late(command, body):
        find.names.forget()
        return {"names": ["board"]}

    session.request_json = told_late
    assert find("bo") == ["board"]
    assert find.names.known("bo") is None


def test_a_board_that_is_silent_has_no_names_and_is_asked_again(session, find):
    session.answers = False
    assert find("bo") == []
    session.answers = True
    assert find("bo") == ["board", "bool"]


@pytest.fixture
def listed(monkeypatch):
    """Have the board list some modules; give how many times it did."""
    calls = []
    told = ["_asyncio", "asyncio", "asyncio.event", "asyncio.core", "machine", "main"]
    monkeypatch.setattr("mqhost.repl.names.modules", lambda session: calls.append(session) or told)
    return calls


def test_modules_are_listed_once(listed, find):
    def imported(text):
        found = queue.SimpleQueue()
        find.names.ask(text, found.put, True)
        return found.get(timeout=10)

    assert imported("ma") == ["machine", "main"]
    assert imported("") == ["asyncio", "machine", "main"]
    assert imported("_") == ["_asyncio"]
    assert imported("asyncio.") == ["core", "event"]
    assert imported("asyncio.e") == ["event"]
    assert imported("other.") == []
    assert len(listed) == 1
    find.names.forget()
    imported("ma")
    assert len(listed) == 2
