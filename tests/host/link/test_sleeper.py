"""Tests how the host meets a board that sleeps: it waits, or says so, and never sends in vain."""

import json
import threading
import time
from dataclasses import replace

import pytest
from waiting import wait_until

import mqwire
from mqhost.errors import AbsentBoardError
from mqhost.link.connection import Subscription
from mqhost.link.roster import asleep_text, is_asleep
from mqhost.link.session import Session
from mqhost.link.sleeper import Note, longest_sleep, sleeps
from mqwire import waiting


@pytest.fixture
def commands(board, session):
    """What is sent to the board, and the notes for it, as (topic, payload)."""
    heard = []
    for topic in (mqwire.command_filter(board.prefix), waiting.topic(board.prefix)):
        session.connection.subscribe(
            Subscription({topic: lambda payload, _, topic=topic: heard.append((topic, payload))})
        )
    return heard


def test_a_command_to_a_sleeping_board_is_not_sent(settings, board, commands):
    board.fall_asleep()
    with Session(settings) as session, pytest.raises(AbsentBoardError) as raised:
        session.request("eval", b"1")
    assert "asleep until" in str(raised.value) and "--wait" in str(raised.value)
    assert commands == [] and raised.value.exit_code == 4


def test_whoever_waits_leaves_a_note_and_sends_when_the_board_is_there(settings, board, commands):
    board.fall_asleep()
    told, answers = [], []
    waits = replace(settings, wait=True)

    def ask():
        with Session(waits, note=told.append) as session:
            answers.append(session.request("eval", b"6*7").text)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: commands, 10)
    (topic, payload), note = commands[0], json.loads(commands[0][1])
    assert topic == waiting.topic(board.prefix) and len(payload) <= waiting.MAX_NOTE
    assert note["until"] > time.time() + 5 and "Waiting for it" in told[0]
    board.announce()
    thread.join(20)
    assert answers == ["42"]
    # The note goes with whoever left it.
    wait_until(lambda: commands[-1] == (waiting.topic(board.prefix), b""), 10)


def test_a_board_that_does_not_wake_is_not_waited_for_for_ever(
    settings, board, commands, monkeypatch
):
    monkeypatch.setattr("mqhost.link.sleeper._LATE_S", 0.2)
    board.fall_asleep(sleeps_s=1, until=int(time.time()))
    with Session(replace(settings, wait=True)) as session, pytest.raises(AbsentBoardError) as told:
        session.request("eval", b"1")
    assert "has not woken" in str(told.value)
    assert all(topic == waiting.topic(board.prefix) for topic, _ in commands)


def test_the_note_of_somebody_else_is_left_alone(session, board, commands):
    note = Note(session.connection, board.prefix, 5, {}).leave()
    wait_until(lambda: commands, 10)
    theirs = json.dumps({"until": int(time.time()) + 900, "by": "rollout 3"}).encode()
    session.connection.publish(waiting.topic(board.prefix), theirs, retain=True)
    wait_until(lambda: note._there == theirs, 10)
    note.take_away()
    assert commands[-1][1] == theirs
    session.connection.publish(waiting.topic(board.prefix), b"", retain=True).wait_for_publish(5)


@pytest.mark.parametrize("until", [None, True, "soon", -1, 5, 1e300, float("nan"), [], 1 << 70])
def test_a_time_to_wake_that_is_none_is_not_believed(until):
    status = {"state": "asleep", "until": until, "power": {"period_s": until}}
    assert is_asleep(status) and "does not know the time" in asleep_text(status)
    assert "for 600 s at a time" in asleep_text(status | {"sleeps_s": 600})
    assert "at a time" not in asleep_text(status | {"sleeps_s": -1})
    assert sleeps(status) and 0 < longest_sleep(status) <= 3600


def test_one_that_does_not_wake_is_overdue():
    now = time.time()
    status = {"state": "asleep", "at": now - 800, "until": now - 200, "sleeps_s": 600}
    assert not is_asleep(status) and "overdue" in asleep_text(status)
    # The clock that wakes it may be some percent off.
    assert is_asleep(status | {"at": now - 100 - 86400, "until": now - 200})
