"""Tests the server's paths for boards: they are listed, asked and changed, over HTTP."""

import json
import time

import pytest
from fakeboard import FakeBoard
from paho.mqtt import publish
from serving import Served
from waiting import wait_until

import mqwire
from mqhost.fleet.server.groups import Groups
from mqhost.sim.broker import Broker

MANY = 1000


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


def test_a_thousand_boards_are_listed_and_followed_without_lag(tmp_path):
    """On two idle cores it takes 0.02 s, and 0.6 s."""
    with Broker() as broker, Served(broker, tmp_path / "fleet.db") as served:
        announce(broker, "0.5.1")
        wait_until(lambda: len(served.fleet.live.boards()) == MANY)
        seconds = time.monotonic()
        told = served.http.get("/api/boards").json()
        assert time.monotonic() - seconds < 15 and len(told["boards"]) == told["online"] == MANY
        pages, after = [], ""
        while after is not None:
            told = served.http.get("/api/boards", params={"limit": 300, "after": after}).json()
            pages.append([one["prefix"] for one in told["boards"]])
            after = told["next"]
        assert [len(page) for page in pages] == [300, 300, 300, 100]
        assert sum(pages, []) == sorted(sum(pages, []))
        with served.http.stream("GET", "/api/events") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: broker"
            seconds = time.monotonic()
            announce(broker, "0.6.0")
            seen, batches = set(), 0
            for line in lines:
                if line.startswith('data: {"boards"'):
                    boards = json.loads(line[6:])["boards"]
                    seen |= {one["prefix"] for one in boards if one["version"] == "0.6.0"}
                    batches += 1
                if len(seen) == MANY:
                    break
        assert time.monotonic() - seconds < 20 and batches < 60


def announce(broker, version):
    """Have a thousand boards say that they are there."""
    status = {"state": "online", "board": "esp32", "mcu": "esp32", "version": version, "rssi": -60}
    topics = [mqwire.status_topic(f"farm{n % 10}/{n:04}") for n in range(MANY)]
    messages = [(topic, json.dumps(status), 1, True) for topic in topics]
    publish.multiple(messages, hostname=broker.host, port=broker.port)


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


def test_a_board_is_asked_again_as_soon_as_its_status_is_another_one(served, board):
    served.board(board.prefix)

    def slot():
        asked = {"prefix": board.prefix}
        return served.http.get("/api/board/info", params=asked).json()["slot"]

    assert slot() == "ota_0"
    board.facts |= {"slot": "ota_1", "version": "0.7.8"}  # an update takes less than two seconds
    board.announce()
    wait_until(lambda: served.fleet.live.get(board.prefix).status["version"] == "0.7.8")
    assert slot() == "ota_1"


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


HOSTILE = {
    "nan": b'{"state": "online", "rssi": NaN, "crashes": 1e999}',
    "half": rb'{"state": "online", "board": "\ud800", "version": "\u0000"}',
    "long": b'{"state": "online", "version": "' + b"9" * 60_000 + b'"}',
    "longer": b'{"state": "online", "version": "' + b"9" * 200_000 + b'"}',
    "number": b'{"state": "online", "rssi": ' + b"9" * 4000 + b', "crashes": ' + b"9" * 299 + b"}",
    "deep": b'{"state": "online", "a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "<script>\"'&": b'{"state": "online", "board": "<b>"}',
}
FACTS = b'{"uptime_s": ' + b"9" * 400 + b', "heap_free": 1e999, "rssi": ' + b"9" * 299 + b"}"


def test_boards_that_say_nonsense_hide_no_other_one(served, board):
    def say(topic, payload):
        message = served.fleet.connection.publish(topic, payload, retain=topic.endswith("/status"))
        message.wait_for_publish(10)

    served.board(board.prefix)
    paths = ("/api/boards", "/", "/?sort=version", "/?sort=since", "/metrics")
    # Boards of other tests may be there as well.
    before = {path: len(served.http.get(path).text) for path in paths}
    try:
        for name, status in HOSTILE.items():
            say(f"{board.prefix}/{name}/mqb/status", status)
        for name in HOSTILE.keys() - {"deep", "longer"}:
            served.board(f"{board.prefix}/{name}")
            say(f"{board.prefix}/{name}/sysinfo", FACTS)
        say(f"{board.prefix}/sysinfo", b'{"heap_free": 4321}')
        wait_until(lambda: known(served, board.prefix).get("heap_free") == 4321)
        for path in paths:
            answer = served.http.get(path)
            assert answer.status_code == 200, path
            assert "<script>\\" not in answer.text or path == "/api/boards"
            assert len(answer.text) < before[path] + 50_000, path
            assert board.prefix in answer.text or path == "/metrics"
        for name in HOSTILE.keys() - {"deep", "longer"}:
            answer = served.http.get("/board", params={"prefix": f"{board.prefix}/{name}"})
            assert answer.status_code == 200, name
    finally:
        for name in HOSTILE:
            say(f"{board.prefix}/{name}/mqb/status", b"")


def known(served, prefix):
    facts = served.fleet.live.facts(prefix)
    return facts.record() if facts else {}


def test_groups_are_listed_and_choose(tmp_path, broker, prefix):
    groups = Groups(lambda: {"north": (f"{prefix}/+",), "empty": ("no/such/board",)})
    with (
        FakeBoard(broker.port, f"{prefix}/pump") as board,
        Served(broker, tmp_path / "fleet.db", groups=groups) as served,
    ):
        served.board(board.prefix)
        told = served.http.get("/api/groups").json()
        assert [one["name"] for one in told] == ["empty", "north"]
        assert told[1]["patterns"] == [f"{prefix}/+"] and told[1]["online"] == 1
        chosen = served.http.get("/api/boards", params={"group": "north"}).json()["boards"]
        assert [one["prefix"] for one in chosen] == [board.prefix]
        answer = served.http.get("/api/boards", params={"group": "south"})
        assert answer.status_code == 400 and "there is: empty, north" in answer.json()["error"]
        page = served.http.get("/", params={"group": "north"}).text
        assert "<option selected>north</option>" in page and board.prefix in page
