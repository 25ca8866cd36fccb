"""Tests commands for many boards some of which are asleep: left out, or waited for with --wait."""

import json
import signal
import subprocess
import threading
import time
from contextlib import ExitStack

import pytest
from commandline import ENVIRONMENT, command_line, here
from fakeboard import FakeBoard
from waiting import wait_until

from mqhost.link.connection import Connection, Subscription
from mqhost.link.settings import Settings
from mqhost.sim.broker import Broker
from mqwire import waiting


@pytest.fixture(scope="module")
def broker():
    """Run a broker of our own: what others have left at theirs matches patterns, too."""
    with Broker() as running:
        yield running


@pytest.fixture
def farm(broker):
    """Run three boards at farm/…, of which b and c are asleep."""
    with ExitStack() as stack:
        boards = [stack.enter_context(FakeBoard(broker.port, f"farm/{name}")) for name in "abc"]
        for board in boards[1:]:
            board.fall_asleep()
        yield boards


@pytest.fixture
def mqboard(farm, broker, capsys, tmp_path, monkeypatch):
    """Give mqboard(*arguments) -> how it ends."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return here(capsys, command_line(broker.port, None, *arguments))

    return run


@pytest.fixture
def notes(broker, farm):
    """What is left at farm/b and farm/c, each as a list of payloads."""
    heard = {board.prefix: [] for board in farm[1:]}
    connection = Connection(Settings(port=broker.port))
    connection.connect()
    for prefix, payloads in heard.items():
        hear = payloads.append
        route = {waiting.topic(prefix): lambda payload, _, hear=hear: hear(payload)}
        connection.subscribe(Subscription(route))
    yield heard
    connection.close()


@pytest.fixture
def waking(farm, notes):
    """Give waking(board): it wakes as soon as it has the note."""
    threads = []

    def wake(board):
        def run():
            wait_until(lambda: any(notes[board.prefix]))
            board.announce()

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield wake
    for thread in threads:
        thread.join()


def test_who_is_asleep_is_left_out_and_said_to_be(mqboard, farm, notes):
    for words in (("--prefix", "farm/+", "eval", "6*7"), ("fleet", "eval", "6*7", "farm/+")):
        ended = mqboard(*words)
        assert ended.returncode == 4
        first, *more = ended.stderr.splitlines()
        assert first.startswith("Left out: farm/b, asleep until 20")
        assert "; farm/c, asleep until 20" in first and first.endswith(
            "With mqboard --wait they are waited for."
        )
        assert more in ([], ["3 boards: 1 ok, 0 failed, 0 offline, 2 asleep."])
        assert "farm/a" in ended.stdout and "42" in ended.stdout
    ended = mqboard("fleet", "config", "set", "ntp=n", "farm/+", "--yes")
    assert ended.returncode == 4 and "1 board will get" in ended.stdout
    assert ended.stderr.startswith("Left out: farm/b, asleep until 20")
    ended = mqboard("fleet", "config", "set", "ntp=m", "farm/b", "--yes")
    assert ended.returncode == 4 and "none is online: nothing was changed. Left out: farm/b" in (
        ended.stderr
    )
    assert not farm[1].requests and not farm[2].requests
    assert notes == {"farm/b": [], "farm/c": []}


def test_who_waits_leaves_notes_and_each_has_its_turn_when_it_wakes(mqboard, farm, notes, waking):
    for board in farm[1:]:
        waking(board)
    ended = mqboard("--wait", "--prefix", "farm/+", "eval", "6*7", "--json")
    answers = json.loads(ended.stdout)
    assert ended.returncode == 0 and list(answers) == ["farm/a", "farm/b", "farm/c"]
    assert all(answer == {"output": "42\n"} for answer in answers.values())
    first, last = ended.stderr.splitlines()
    assert first.startswith("Waiting for farm/b, asleep until") and first.endswith("others go on.")
    assert last.startswith("Waited for farm/") and " s; farm/" in last
    # The note goes with whoever left it.
    wait_until(lambda: all(payloads[-1] == b"" for payloads in notes.values()))


def test_one_that_does_not_wake_holds_nobody_up(mqboard, farm, notes, waking, monkeypatch):
    monkeypatch.setattr("mqhost.link.sleeper._LATE_S", 3)
    farm[2].fall_asleep(sleeps_s=1, until=int(time.time()))
    waking(farm[1])
    words = ("--wait", "fleet", "config", "set", "ntp=n", "farm/+", "--yes", "--json")
    ended = mqboard(*words)
    assert ended.returncode == 4
    assert "3 boards will get a configuration with ntp=n, 2 of them when awake." in ended.stderr
    record = json.loads(ended.stdout)
    assert record["farm/a"]["confirmed"] and record["farm/b"]["confirmed"]
    assert record["farm/c"]["exit_code"] == 4 and "has not woken" in record["farm/c"]["error"]
    assert "Waited for farm/b for" in ended.stderr
    assert "Nothing was sent to farm/c: not woken in time." in ended.stderr
    assert ended.stderr.endswith("3 boards: 2 ok, 0 failed, 0 offline, 1 asleep.\n")
    assert not farm[2].requests
    wait_until(lambda: all(payloads[-1] == b"" for payloads in notes.values()))


def test_ctrl_c_ends_the_wait_and_takes_the_notes_away(farm, broker, notes, tmp_path):
    line = command_line(broker.port, "farm/+", "--wait", "eval", "6*7")
    process = subprocess.Popen(line, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE)
    try:
        wait_until(lambda: all(notes.values()))
        wait_until(lambda: farm[0].requests)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
    finally:
        process.kill()
    wait_until(lambda: all(payloads[-1] == b"" for payloads in notes.values()))
    assert not farm[1].requests and not farm[2].requests
