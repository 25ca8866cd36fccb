"""Tests the server's paths for boards: they are listed, asked and changed, over HTTP."""

import json

import pytest
from fakeboard import FakeBoard
from serving import Served
from waiting import wait_until


@pytest.fixture(scope="module")
def served(broker, tmp_path_factory):
    with Served(broker, tmp_path_factory.mktemp("state") / "fleet.db") as running:
        yield running


def test_boards_are_listed_with_what_they_say(served, board):
    served.board(board.prefix)
    told = served.http.get("/api/boards", params={"pattern": board.prefix}).json()
    assert told["total"] == told["online"] == 1
    (record,) = told["boards"]
    assert record["prefix"] == board.prefix and record["online"] and record["version"] == "0.1.0"


def test_a_condition_chooses(served, board, broker):
    with FakeBoard(broker.port, board.prefix + "/x", version="0.9") as other:
        served.board(other.prefix)
        served.board(board.prefix)
        asked = {"pattern": board.prefix + "/#", "where": "version>0.5"}
        told = served.http.get("/api/boards", params=asked).json()
    assert [one["prefix"] for one in told["boards"]] == [other.prefix]


def test_a_condition_that_is_none_is_told(served, board):
    served.board(board.prefix)
    answer = served.http.get("/api/boards", params={"where": "colour==red"})
    assert answer.status_code == 400 and "colour" in answer.json()["error"]


def test_a_board_that_nobody_knows_is_not_found(served):
    answer = served.http.get("/api/board", params={"prefix": "no/board"})
    assert answer.status_code == 404 and "no/board" in answer.json()["error"]


def test_a_board_is_asked(served, board):
    served.board(board.prefix)
    told = served.http.get("/api/board/info", params={"prefix": board.prefix}).json()
    assert told["slot"] == "ota_0"
    record = served.http.get("/api/board", params={"prefix": board.prefix}).json()
    assert record["facts"]["at"] > 1.6e9


def test_code_runs_and_is_audited(served, board):
    served.board(board.prefix)
    where = {"prefix": board.prefix}
    told = served.http.post("/api/board/eval", params=where, json={"code": "6*7"}).json()
    assert told["state"] == "done" and told["result"]["output"].strip() == "42"
    entries = served.store.entries(board=board.prefix)
    assert [(one.who, one.what) for one in entries] == [("local", "eval 6*7")] * 2
    assert entries[0].result == "begun" and entries[1].result == "done: It printed 3 B."


def test_what_changes_is_told_as_it_happens(served, board):
    served.board(board.prefix)
    with served.http.stream("GET", "/api/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: broker"
        board.facts["version"] = "0.7.7"
        board.announce()
        for line in lines:
            if "0.7.7" in line:
                told = json.loads(line.removeprefix("data: "))
                assert any(one["prefix"] == board.prefix for one in told["boards"])
                break


def test_a_board_that_vanishes_is_offline(served, board):
    served.board(board.prefix)
    board.power_off()
    wait_until(lambda: not served.fleet.live.get(board.prefix).online)
    answer = served.http.get("/api/board/info", params={"prefix": board.prefix})
    assert answer.status_code == 504 and "offline" in answer.json()["error"]
