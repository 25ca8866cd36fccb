"""Tests asking many boards: who is asked, how many at a time, and what becomes of errors."""

import threading

import pytest

from mqhost.errors import BoardError, RefusedError, SilentBoardError
from mqhost.fleet.many import Answer, ask_all, call_roll, worst
from mqhost.fleet.presence import Presence
from mqhost.link.connection import Connection
from mqhost.link.roster import Sighting


def board(prefix, **status):
    return Presence.of(prefix, Sighting({"state": "online"} | status, None))


def test_the_roll_has_who_matches_and_who_is_named(settings, board):
    connection = Connection(settings)
    connection.connect()
    try:
        root = board.prefix.split("/")[0]
        roll = call_roll(connection, (f"{root}/+", "nobody/there"))
    finally:
        connection.close()
    assert roll["nobody/there"] is None
    assert roll[board.prefix].online


def test_answers_come_in_the_order_of_the_boards_with_those_who_are_away():
    boards = {"a": board("a"), "b": board("b", state="offline", reason="gone"), "c": None}
    boards["d"] = board("d")
    counted = []
    answers = ask_all(boards, str.upper, progress=lambda *told: counted.append(told))
    assert counted == [("ask", 0, 2), ("ask", 1, 2)]
    assert [answer.prefix for answer in answers] == ["a", "b", "c", "d"]
    assert [answer.value for answer in answers] == ["A", None, None, "D"]
    assert str(answers[1].error) == "offline (gone)"
    assert "never announced itself" in str(answers[2].error)
    assert worst(answers) == 4


def test_an_error_of_one_is_its_answer():
    def ask(prefix):
        if prefix == "b":
            raise BoardError("no")
        return prefix

    answers = ask_all({name: board(name) for name in "abc"}, ask)
    assert [answer.value for answer in answers] == ["a", None, "c"]
    assert str(answers[1].error) == "no"


def test_a_mistake_of_ours_is_no_answer():
    with pytest.raises(ZeroDivisionError):
        ask_all({"a": board("a")}, lambda prefix: 1 / 0)


def test_so_many_are_asked_at_a_time_and_no_more():
    together, at_once, lock = threading.Barrier(3), [0, 0], threading.Lock()

    def ask(prefix):
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
        together.wait(10)  # only if three are there
        with lock:
            at_once[0] -= 1

    ask_all({str(number): board(str(number)) for number in range(9)}, ask, at_once=3)
    assert at_once == [0, 3]


def test_the_worst_exit_code_counts():
    answers = [
        Answer("a"),
        Answer("b", error=SilentBoardError("")),
        Answer("c", error=BoardError("")),
    ]
    assert worst(answers) == 4
    assert worst([*answers, Answer("d", error=RefusedError(""))]) == 5
    assert worst([Answer("a", 1)]) == 0


def test_an_interrupt_waits_for_those_who_are_asked_and_asks_nobody_else():
    asked, both = [], threading.Barrier(2)

    def ask(prefix):
        asked.append(prefix)
        both.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask_all({name: board(name) for name in "abcdef"}, ask, at_once=2)
    assert sorted(asked) == ["a", "b"]
