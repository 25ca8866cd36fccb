"""Tests `mqboard crash`: the table, one record whole, clearing, JSON, and older firmware."""

import json

import pytest
from commandline import command_line, here
from fakeboard import FakeBoard


def crash(number, **facts):
    usual = {"times": 1, "kind": "watchdog", "running": "module blink", "mode": "normal"}
    return {"number": number} | usual | {"version": "2.0", "uptime_s": 7260} | facts


WHOLE = crash(
    4,
    kind="exception",
    running=None,
    times=1234,
    reset_cause="reset",
    heap_free=54321,
    image="0123456789abcdef",
    traceback='Traceback (most recent call last):\n  File "x.py"\nValueError: \x1b[31mboom\n',
    log="I 1 board: hello\nW 2 mqtt: gone\n",
)


class CrashedBoard(FakeBoard):
    """A board with crash records, `listed`."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.listed = [crash(3), crash(4, kind="exception", running=None, times=1234)]

    def _do_crash(self, ident, body):
        action, _, number = body.decode().partition(" ")
        if action == "list":
            self.reply(ident, json.dumps({"crashes": self.listed}).encode())
        elif action == "show":
            self.reply(ident, json.dumps(WHOLE | {"number": int(number)}).encode())
        else:
            self.reply(ident, json.dumps({"cleared": len(self.listed)}).encode())
            self.listed = []


@pytest.fixture
def board(broker, prefix):
    with CrashedBoard(broker.port, prefix) as running:
        yield running


@pytest.fixture
def mqboard(broker, prefix, capsys):
    """Give a function that runs the command line here; returns (exit code, stdout, stderr)."""

    def run(*arguments):
        process = here(capsys, command_line(broker.port, prefix, *arguments))
        return process.returncode, process.stdout, process.stderr

    return run


def test_a_line_for_each_crash(mqboard, board):
    code, out, err = mqboard("crash")
    assert (code, err) == (0, "")
    first, second = out.strip().splitlines()[-2:]
    expected = ["3", "1", "watchdog", "module", "blink", "2", "h", "normal", "2.0"]
    assert first.split() == expected
    assert second.split()[:3] == ["4", "1,234", "exception"]
    assert json.loads(mqboard("crash", "list", "--json")[1]) == {"crashes": board.listed}


def test_the_last_one_is_shown_whole_and_clean(mqboard, board):
    code, text, _ = mqboard("crash", "show")
    assert code == 0
    assert "an exception ended the board's run" in text and "4, 1,234 times" in text
    assert "unknown" in text and "54,321 B" in text
    assert "ValueError: �[31mboom" in text and "\x1b" not in text
    assert text.endswith("W 2 mqtt: gone\n")
    assert json.loads(mqboard("crash", "show", "--json")[1]) == WHOLE


def test_another_one_is_shown_by_its_number(mqboard, board):
    assert json.loads(mqboard("crash", "show", "3", "--json")[1])["number"] == 3
    code, _, err = mqboard("crash", "show", "9")
    assert code == 1 and "has no crash 9; it has 3, 4." in err


def test_cleared_they_are_gone(mqboard, board):
    assert "has forgotten 2 crashes." in mqboard("crash", "clear")[1]
    assert "No boot of" in mqboard("crash")[1]
    code, _, err = mqboard("crash", "show")
    assert code == 1 and "has no crash to show" in err
    assert "had no crash to forget." in mqboard("crash", "clear")[1]
    assert json.loads(mqboard("crash", "clear", "--json")[1]) == {"cleared": 0}


def test_what_a_board_says_may_be_anything(mqboard, board):
    board.listed = [None, {"number": "x", "times": [], "kind": {}, "uptime_s": "y"}, crash(1)]
    code, out, _ = mqboard("crash")
    assert code == 0 and len(out.strip().splitlines()) == 5
    board.listed = 5
    code, _, err = mqboard("crash")
    assert code == 1 and "has no list" in err


def test_info_says_that_there_are_some_and_the_list_how_short_they_were(mqboard, board):
    board.facts["crashes"] = 2
    board.listed = [crash(1, uptime_s=0)]
    assert "under 10 s" in mqboard("crash")[1]
    assert "2 to look at: mqboard crash" in mqboard("info")[1]


def test_older_firmware_is_named(broker, prefix, mqboard):
    with FakeBoard(broker.port, prefix):
        code, _, err = mqboard("crash")
    assert code == 1 and "older than this tool" in err
