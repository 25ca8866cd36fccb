"""Tests how code on a board is followed, whatever the board and the way to it do."""

import json
import threading
from dataclasses import replace

import pytest
from fakeboard import executed
from waiting import wait_until

import mqwire
from mqhost.errors import BoardError, SilentBoardError, UsageError
from mqhost.link.session import Session
from mqhost.repl import running as module
from mqhost.repl import start
from mqhost.repl.running import CREDIT, Result


def follow(session, code="x", **options):
    """Run code to its end; return its output and how it ended."""
    run = start(session, code, **options)
    return b"".join(run), run.result


def saying(board, output=b"", told=None, change=lambda messages: messages):
    """Have the board answer code so; `change` changes its messages."""
    board.answer = lambda command, ident, body: change(
        list(executed(board, ident, output, told or {}))
    )


def begin_only(board):
    """Have the board begin with code, and be silent from then on."""
    saying(board, change=lambda messages: messages[:1])


def test_output_and_its_end(session, board):
    assert follow(session, "print('a')\n5") == (b"a\n5\n", Result())
    assert follow(session, "print('a')\n5", show=False) == (b"a\n", Result())
    output, result = follow(session, "1 / 0")
    assert output == b"" and result.error.endswith("ZeroDivisionError: division by zero")
    assert follow(session, "raise SystemExit(3)")[1].exit == 3
    assert follow(session, "print(argv)", argv=["a", "-b"])[0] == b"['a', '-b']\n"


def test_code_that_is_too_long_is_not_sent(session, board):
    with pytest.raises(UsageError, match="16,384 B is the most.*import that"):
        start(session, "#" * 16400)
    assert not board.requests


def test_messages_that_got_lost_are_counted(session, board):
    output = b"a" * 1400 + b"b" * 1400 + b"c" * 1400 + b"d"
    saying(board, output, change=lambda messages: [*messages[:2], *messages[4:]])
    assert follow(session) == (b"a" * 1400 + b"d", Result(lost=2))


def test_a_last_word_that_overtakes_output_is_kept_for_it(session, board):
    output = b"a" * 1400 + b"b" * 1400
    saying(board, output, change=lambda sent: [*sent[:2], sent[-1], *sent[2:-1]])
    assert follow(session) == (output, Result())
    saying(board, output, change=lambda sent: [sent[0], sent[-1], *sent[1:-1]])
    assert follow(session) == (output, Result())


def test_a_last_word_that_overtakes_even_the_first_one_is_kept_for_it(session, board):
    saying(board, b"a", change=lambda sent: [sent[-1], *sent[:-1]])
    assert follow(session) == (b"a", Result())
    saying(board, change=lambda sent: [sent[-1], *sent[:-1]])
    assert follow(session) == (b"", Result())
    saying(board, b"a", change=lambda sent: [sent[-1], *sent[1:-1]])  # and that one got lost
    assert follow(session) == (b"a", Result())
    saying(board, b"a", change=lambda sent: sent[-1:])
    assert follow(session) == (b"", Result(lost=1))


def test_messages_that_come_twice_count_once(session, board):
    output = b"a" * 1400 + b"b" * 1400
    saying(board, output, change=lambda sent: [*sent[:2], sent[1], *sent[2:3], sent[0], *sent[3:]])
    assert follow(session) == (output, Result())


def test_what_the_board_dropped_is_told(session, board):
    saying(board, b"a", {"dropped": 5, "cancelled": True, "error": "Traceback\n"})
    assert follow(session)[1] == Result(error="Traceback", cancelled=True, dropped=5)


@pytest.mark.parametrize("told", [b"no JSON", b"[]", b"\xff"])
def test_an_answer_that_is_none_is_an_error(session, board, told):
    def change(messages):
        (topic, payload), *_ = reversed(messages)
        return [*messages[:-1], (topic, payload[:2] + told)]

    saying(board, b"a", change=change)
    with pytest.raises(BoardError, match="answer to exec is no"):
        follow(session)


def test_nothing_that_the_board_says_of_the_end_is_taken_on_trust(session, board):
    saying(board, b"", {"error": 5, "exit": [1], "dropped": "many", "cancelled": "yes"})
    assert follow(session)[1] == Result()


def test_credit_is_given_for_what_was_taken(session, board):
    output = b"x" * (CREDIT + 100_000)
    saying(board, output)
    run = start(session, "x")
    assert b"".join(run) == output
    wait_until(lambda: board.granted and board.granted[-1][1] > len(output))
    numbers = [number for _, number in board.granted]
    assert numbers == sorted(set(numbers))
    assert {ident for ident, _ in board.granted} == {run.ident}
    assert numbers[-1] <= len(output) + CREDIT


def test_a_board_that_says_nothing_is_silent(settings, board):
    board.silent.add("exec")
    with (
        Session(replace(settings, timeout=0.3)) as session,
        pytest.raises(SilentBoardError, match="0.3 s"),
    ):
        follow(session)


def test_code_that_says_nothing_is_waited_for_until_its_time_is_over(settings, board, monkeypatch):
    monkeypatch.setattr(module, "_LATE_ANSWER", 0.2)
    begin_only(board)
    with Session(replace(settings, timeout=0.3)) as session:
        run = start(session, "x", timeout=1.0)
        with pytest.raises(BoardError, match="did not end within 1 s.*told to end, and has not"):
            list(run)
    assert [command for command, _ in board.requests] == ["exec", "cancel"]


def test_a_board_that_restarts_says_why(session, board, begun):
    def answer(command, ident, body):
        if command != "crash":
            return list(executed(board, ident, b"", {}))[:1]
        record = {"running": f"exec {run.ident} x", "kind": "watchdog"}
        text = json.dumps(record).encode()
        return [(mqwire.reply_topic(board.prefix, ident), mqwire.SINGLE + text)]

    board.answer = answer
    board.facts |= {"crashes": 1, "reset_cause": "watchdog"}
    run = start(session, "x")
    begun(board.power_cycle)
    with pytest.raises(BoardError, match="restarted while it ran this, because of it.*watchdog"):
        list(run)


def test_a_board_that_restarts_for_another_reason_says_so(session, board, begun):
    begin_only(board)
    begun(board.power_cycle)
    with pytest.raises(BoardError, match=r"restarted while it ran this \(reset cause power-on\)"):
        follow(session)


def test_a_board_that_goes_away_and_stays_away(session, board, begun, monkeypatch):
    monkeypatch.setattr(module, "_AWAY", 0.3)
    begin_only(board)
    begun(board.power_off)
    with pytest.raises(SilentBoardError, match="went offline while it ran this"):
        follow(session)


@pytest.fixture
def begun(board):
    """Give begun(act): `act()` is called, in a thread, when the board has begun with code."""
    threads = []

    def wait(act):
        wait_until(lambda: board.requests)
        act()

    def when(act):
        threads.append(threading.Thread(target=wait, args=[act]))
        threads[-1].start()

    yield when
    for thread in threads:
        thread.join(30)


def test_firmware_of_before_exec_is_given_an_eval(session, board):
    board.unknown_commands.add("exec")
    assert follow(session, "45+876") == (b"921", Result())
    assert follow(session, "1 / 0")[1].error.endswith("ZeroDivisionError: division by zero")
    with pytest.raises(BoardError, match="await.*exec.*not supported"):
        follow(session, "import asyncio\nawait asyncio.sleep(0)")
