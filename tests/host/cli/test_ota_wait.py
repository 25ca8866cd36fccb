"""Tests `mqboard ota --wait`: a board that is away is waited for, says since when, and gets it."""

import json
import signal
import subprocess
import threading

import pytest
from commandline import APP, ENVIRONMENT, command_line, here, write_app
from waiting import wait_until

from mqhost.errors import AbsentBoardError, SilentBoardError
from mqhost.update.waiting import when_online
from mqwire import update as wire


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    return str(write_app(tmp_path))


@pytest.fixture
def begin(broker, prefix, app):
    """Give begin(*options) -> a process of `mqboard ota`."""
    running = []

    def start(*options):
        line = command_line(broker.port, prefix, "ota", "--image", app, *options)
        process = subprocess.Popen(
            line, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=30)


def test_it_says_since_when_and_until_when_and_updates_when_the_board_is_there(
    begin, board, prefix
):
    board.power_off()
    process = begin("--wait", "24h")
    line = process.stdout.readline()
    assert line.startswith(f"{prefix} is offline (no reason known). Waiting for it until 20")
    board.power_on()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "0.1.0 → 0.2.0, confirmed" in out, out
    assert board.image == APP


def test_a_board_that_is_there_is_not_waited_for(broker, prefix, board, app, capsys):
    line = command_line(broker.port, prefix, "ota", "--image", app, "--wait", "1h", "--json")
    ended = here(capsys, line)
    events = [json.loads(text)["event"] for text in ended.stdout.splitlines()]
    assert ended.returncode == 0 and "waiting" not in events and events[-1] == "done"


def test_ctrl_c_leaves_nothing_behind(begin, board, prefix):
    board.power_off()
    process = begin("--wait", "7d", "--json")
    waits = json.loads(process.stdout.readline())
    assert waits["event"] == "waiting" and waits["until"].endswith("+00:00")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    end = json.loads(out.strip().splitlines()[-1])
    assert process.returncode == 130 and end["event"] == "interrupted"
    assert end["message"].startswith(f"Interrupted. Nothing was sent to {prefix}, and nothing")
    board.power_on()
    assert not board.requests


def test_when_the_time_is_over_it_is_4_and_what_cannot_be_is_told_at_once(
    broker, prefix, board, app, capsys
):
    board.power_off()
    line = command_line(broker.port, prefix, "ota", "--image", app, "--wait")
    ended = here(capsys, [*line, "1s"])
    assert ended.returncode == 4 and "That was all the time that --wait gave it" in ended.stderr
    assert here(capsys, [*line, "soon"]).returncode == 2
    gone = command_line(broker.port, prefix, "ota", "--image", app + "x", "--wait", "1h")
    assert here(capsys, gone).returncode == 2


# One that comes and goes


def test_one_that_goes_away_in_the_middle_is_waited_for_again(session, board):
    told, tries = [], []

    def work():
        tries.append(board.boots)
        if len(tries) == 1:
            board.power_off()
            wait_until(lambda: session.last_status["state"] == "offline")
            raise SilentBoardError("no answer")
        return "done"

    def away(sentence, until):
        told.append(sentence)
        board.power_on()

    assert when_online(session, work, 60, away) == "done"
    assert tries == [1, 2] and len(told) == 1 and "is offline" in told[0]


def test_one_that_is_there_and_silent_is_tried_again_after_a_while_or_when_it_restarts(
    session, board
):
    told, tries = [], []

    def work():
        tries.append(1)
        if len(tries) < 3:
            raise SilentBoardError("no answer")

    when_online(session, work, 600, lambda sentence, until: told.append(sentence), again=0.05)
    assert told == ["no answer"] * 2
    tries.clear()
    restart = threading.Timer(0.1, board.power_cycle)
    restart.start()
    when_online(session, work, 600, lambda sentence, until: None, again=0.05)
    restart.join()
    with pytest.raises(SilentBoardError, match="no answer"):
        when_online(session, _silent, 0.2, lambda sentence, until: None, again=0.05)
    board.power_off()
    wait_until(lambda: session.last_status["state"] == "offline")
    with pytest.raises(AbsentBoardError, match="all the time that --wait gave it"):
        when_online(session, _silent, 0.1, lambda sentence, until: None)


def _silent():
    raise SilentBoardError("no answer")


def test_a_refusal_is_final(begin, board):
    board.refuse = wire.TOO_LARGE
    process = begin("--wait", "24h")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 5, out
