"""Tests the prompt, the log and files of a board over HTTP."""

import json

import pytest
from paho.mqtt import publish
from serving import Served
from waiting import wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import mqwire
from mqhost.fleet.server.working import console
from mqhost.fleet.store.accounts import Accounts
from mqhost.repl.running import Result


@pytest.fixture(scope="module")
def one(broker, tmp_path_factory):
    with Served(broker, tmp_path_factory.mktemp("state") / "fleet.db") as running:
        yield running


@pytest.fixture
def served(one, board):
    one.without_users()
    one.board(board.prefix)
    return one


def prompt(served, prefix, **options):
    url = served.url.replace("http", "ws") + f"/api/board/repl?prefix={prefix}"
    return connect(url, proxy=None, **options)


def say(socket, **message):
    socket.send(json.dumps(message))


def hear(socket, key):
    """Return the next message that has `key`."""
    while True:
        said = json.loads(socket.recv(timeout=20))
        if key in said:
            return said


def test_code_at_the_prompt_is_run_and_its_value_shown(served, board):
    with prompt(served, board.prefix) as socket:
        assert hear(socket, "ready") == {"ready": board.prefix, "version": "0.1.0"}
        say(socket, run="6*7", id=1)
        assert hear(socket, "out")["out"].strip() == "42"
        assert hear(socket, "done") == {"done": 1, "ok": True}


def test_what_is_not_whole_goes_on(served, board):
    with prompt(served, board.prefix) as socket:
        say(socket, run="if True:", id=5)
        assert hear(socket, "more") == {"more": 5}


def test_an_error_of_the_code_is_shown_and_the_next_one_runs(served, board):
    with prompt(served, board.prefix) as socket:
        say(socket, run="1/0", id=1)
        assert "ZeroDivisionError" in hear(socket, "out")["out"]
        assert hear(socket, "done") == {"done": 1, "ok": False}
        say(socket, run="2+2", id=2)
        assert hear(socket, "done") == {"done": 2, "ok": True}


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (None, "KeyboardInterrupt"),  # it had not begun
        ("Traceback\nKeyboardInterrupt: ", "Traceback\nKeyboardInterrupt"),
        ("Traceback\nCancelledError: ", "Traceback\nKeyboardInterrupt"),  # where it awaits
    ],
)
def test_code_that_ctrl_c_has_ended_says_so(served, board, monkeypatch, error, shown):
    class Run:
        result = Result(error=error, cancelled=True)

        def __iter__(self):
            return iter(())

    monkeypatch.setattr(console, "start", lambda session, source: Run())
    with prompt(served, board.prefix) as socket:
        say(socket, run="forever()", id=1)
        assert hear(socket, "out")["out"].strip() == shown
        assert hear(socket, "done") == {"done": 1, "ok": False}


def test_what_was_typed_is_audited(served, board):
    with prompt(served, board.prefix) as socket:
        say(socket, run="6*7", id=1)
        hear(socket, "done")
    told = [entry.what for entry in served.store.entries(board=board.prefix)]
    assert told == ["repl", "repl 6*7"]


def test_a_prompt_on_a_board_that_is_not_there_says_so(served):
    with prompt(served, "no/board") as socket:
        assert "no/board" in hear(socket, "error")["error"]
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)


@pytest.mark.parametrize("text", ["no json", "[1]", "{}", '{"run": 7}', "[" * 5000])
def test_what_is_no_message_ends_the_prompt(served, board, text):
    with prompt(served, board.prefix) as socket:
        hear(socket, "ready")
        socket.send(text)
        assert "docs/api.md" in hear(socket, "error")["error"]
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)


def test_a_page_of_others_gets_no_prompt(served, board):
    with pytest.raises(InvalidStatus) as refused:
        prompt(served, board.prefix, origin="https://evil.example")
    assert refused.value.response.status_code == 403


def test_a_prompt_takes_the_role_operate(served, board):
    served.fleet.users.add("anna", "look", "a long password")
    cookies = served.login("anna", "a long password").cookies
    header = {"Cookie": "; ".join(f"{key}={value}" for key, value in cookies.items())}
    with prompt(served, board.prefix, additional_headers=header) as socket:
        assert "takes the role operate" in hear(socket, "error")["error"]


def test_a_prompt_ends_when_its_user_is_removed(served, board, monkeypatch):
    monkeypatch.setattr("mqhost.fleet.server.api.repl._LOOK", 0.1)
    served.fleet.users.add("anna", "operate", "a long password")
    cookies = served.login("anna", "a long password").cookies
    header = {"Cookie": "; ".join(f"{key}={value}" for key, value in cookies.items())}
    with prompt(served, board.prefix, additional_headers=header) as socket:
        hear(socket, "ready")
        served.fleet.users.add("bert", "look", "a long password")  # else it is open to all again
        Accounts(served.store.database).remove("anna")
        assert "Log in" in hear(socket, "error")["error"]


def test_the_log_follows(served, board, broker):
    where = {"prefix": board.prefix}
    with served.http.stream("GET", "/api/board/log", params=where) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: log"
        topic = mqwire.log_topic(board.prefix)
        other = mqwire.log_topic(board.prefix + "/x")
        for number in range(3):
            publish.single(other, "not ours", hostname=broker.host, port=broker.port)
            publish.single(topic, f"line {number}", hostname=broker.host, port=broker.port)
        told = []
        for line in lines:
            if line.startswith("data: "):
                told += json.loads(line.removeprefix("data: "))["lines"]
            if len(told) == 3:
                break
    assert told == ["line 0", "line 1", "line 2"]


def test_nobody_follows_logs_by_a_pattern(served):
    answer = served.http.get("/api/board/log", params={"prefix": "+"})
    assert answer.status_code == 404


def test_a_slow_reader_is_told_how_many_lines_are_missing(served, board, monkeypatch):
    monkeypatch.setattr("mqhost.fleet.server.hearing.loglines._MOST", 2)
    import asyncio

    from mqhost.fleet.server.hearing.loglines import Following

    async def follow():
        following = Following(served.fleet.connection, board.prefix)
        for number in range(5):
            following._hear(mqwire.log_topic(board.prefix), b"%d" % number, False)
        return await following.next(1)

    assert asyncio.run(follow()) == ["(3 lines were too many)", "3", "4"]
    assert wait_until(lambda: served.fleet.consoles == 0)
