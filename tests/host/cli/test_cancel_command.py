"""Tests `mqboard cancel` where the board does not say what runs, and its words for ids."""

import json

import pytest
from commandline import here

import mqwire
from mqhost.cli.edge import Edge
from mqhost.link.settings import Settings
from mqhost.repl.underway import cancel_words


class Blocked:
    """Has a board answer `cancel`, and nothing else until then: code blocks it."""

    def __init__(self, board, stubborn=False):
        self.board = board
        self.stubborn = stubborn  # the code goes on
        self.ended = []  # (tail, body) of each cancel

    def answer(self, command, ident, body):
        reply = mqwire.reply_topic(self.board.prefix, ident)
        if command == "cancel":
            self.ended.append((self.board.tail, bytes(body)))
            yield reply, mqwire.SINGLE + b"OK"
        elif self.ended and not self.stubborn:
            yield reply, mqwire.SINGLE + json.dumps({"running": []}).encode()


@pytest.fixture
def cancel(capsys, broker, board, monkeypatch):
    """Give cancel(*words, **settings) -> how `mqboard cancel` ends."""
    monkeypatch.setattr("mqhost.cli.repl.cancel._PATIENCE", 0.2)

    def run(*words, **options):
        values = {"port": broker.port, "prefix": board.prefix, "timeout": 30, "patient": False}
        settings = Settings(**values | options)
        monkeypatch.setattr(Edge, "settings", settings)
        return here(capsys, ["", "", "", "cancel", *words])

    return run


@pytest.fixture
def blocked(board):
    found = Blocked(board)
    board.answer = found.answer
    return found


@pytest.mark.parametrize("words", [(), ("--list",), ("--list", "--json")])
def test_while_code_blocks_it_is_said_soon_what_ends_it(cancel, board, blocked, words):
    ended = cancel(*words)
    assert ended.returncode == 4
    assert ended.stderr.startswith(f"{board.prefix} is online and does not say what runs: ")
    assert f"mqboard --prefix {board.prefix} cancel --all ends that" in ended.stderr
    assert blocked.ended == []


def test_who_says_how_long_to_wait_is_told_soon_and_waits(cancel, blocked):
    ended = cancel("--list", timeout=0.5, patient=True)
    assert ended.returncode == 4
    told, gave_up = ended.stderr.splitlines()
    assert "cancel --all ends that" in told and "Waiting for its answer, up to 0.5 s." in told
    assert "No answer" in gave_up


@pytest.mark.parametrize(
    ("words", "sent"), [(("--all",), ("", b"all")), (("abcdefgh",), ("abcdefgh", b""))]
)
def test_an_id_and_all_end_code_that_blocks(cancel, blocked, words, sent):
    ended = cancel(*words)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert blocked.ended == [sent]


def test_code_that_goes_on_blocking_is_not_waited_for(cancel, blocked):
    blocked.stubborn = True
    ended = cancel("abcdefgh")
    assert ended.returncode == 4
    assert "does not say what runs" in ended.stderr


def test_an_id_that_looks_like_an_option_is_written_so_that_it_is_none():
    assert cancel_words("abcdefgh") == "cancel abcdefgh"
    assert cancel_words("-bcdefgh") == "cancel -- -bcdefgh"


def test_where_more_than_one_runs_the_words_that_end_one_of_them_do(cancel, board):
    running = [{"id": ident, "text": "", "s": 1} for ident in ("-bcdefgh", "ijklmnop")]

    tails = []

    def answer(command, ident, body):
        if command == "cancel":
            tails.append(board.tail)
        told = json.dumps({"running": running}).encode()
        yield mqwire.reply_topic(board.prefix, ident), mqwire.SINGLE + told

    board.answer = answer
    ended = cancel()
    assert ended.returncode == 5
    assert "cancel -- -bcdefgh" in ended.stderr
    assert cancel("--", "-bcdefgh").returncode == 0
    assert tails == ["-bcdefgh"]
