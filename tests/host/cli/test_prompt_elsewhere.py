"""Tests `mqboard repl` with boards that are not as others: old firmware, one that is evil, none."""

import json
import os

import pytest
from commandline import ENVIRONMENT, command_line
from fakeboard import FakeBoard
from oldboard import OldBoard
from terminal import Terminal

import mqwire
from mqhost.sim.broker import Broker

EVIL = "\x1b]0;owned\x07"


@pytest.fixture
def open_prompt(tmp_path, prefix):
    """Give open_prompt(broker) -> a Terminal with `mqboard repl`."""
    opened = []
    environment = ENVIRONMENT | {"XDG_STATE_HOME": str(tmp_path), "TERM": "xterm"}

    def open_one(broker):
        argv = command_line(broker.port, prefix, "repl")
        opened.append(Terminal(argv, env=environment, cwd=tmp_path))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.__exit__()


def test_old_firmware_evaluates_each_line(broker, prefix, open_prompt):
    with OldBoard(broker.port, prefix):
        prompt = open_prompt(broker)
        prompt.expect("\n>>>")
        prompt.type("6*7\n")
        prompt.expect("\n42\n>>>")
        prompt.type("1/0\n")
        prompt.expect("ZeroDivisionError: division by zero\n>>>")
        prompt.type("6*7.bit_l\t\n")  # it has no completion: nothing happens
        prompt.expect("\n>>>", count=4)
        prompt.type("await f()\n")
        prompt.expect("No `await` there: Command 'exec' not supported by the firmware")
        prompt.expect("\n>>>", count=5)


def test_what_a_board_says_cannot_control_the_terminal(board, broker, open_prompt):
    board.facts |= {"version": EVIL, "board": EVIL, "micropython": EVIL, "mode": EVIL}
    board.announce()
    prompt = open_prompt(broker)
    screen = prompt.expect("\n>>>")
    assert "owned" in screen

    def answer(command, ident, body):
        if command == "complete":
            told = json.dumps({"names": ["good", EVIL, f"bad{EVIL}"]}).encode()
            return [(mqwire.reply_topic(board.prefix, ident), mqwire.SINGLE + told)]
        return [(mqwire.error_topic(board.prefix, ident), f"Traceback {EVIL}".encode())]

    board.answer = answer
    prompt.type("goo\t")
    prompt.expect(">>> good")
    prompt.type("\n")
    prompt.expect("\nTraceback �]0;owned�\n>>>")
    board.facts["reset_cause"] = EVIL
    board.power_cycle()
    prompt.expect("has restarted (reset cause �]0;owned�)")
    assert EVIL.encode() not in prompt.raw and b"\x1b]0;" not in prompt.raw


def test_typing_goes_on_while_a_board_does_not_complete(board, broker, open_prompt):
    board.silent.add("complete")
    prompt = open_prompt(broker)
    prompt.expect("\n>>>")
    prompt.type("6\t*\t7")
    prompt.expect("\n>>> 6*7")
    prompt.type("; 6 * boar\td\n")
    prompt.expect("\n>>> 6*7; 6 * board\n")
    prompt.expect("\n>>>", count=2)
    assert [command for command, _ in board.requests].count("complete") == 1


def test_a_broker_that_comes_back_costs_nothing(prefix, open_prompt):
    with Broker() as broker, FakeBoard(broker.port, prefix):
        prompt = open_prompt(broker)
        prompt.expect("\n>>>")
        broker.stop()
        prompt.expect(f"{prefix}   no connection to the broker")
        prompt.type("6*7\n")
        screen = prompt.expect("Nothing was sent.\n>>>")
        assert f"The connection to the broker {broker.host}:{broker.port} is lost" in screen
        with Broker(port=broker.port):
            prompt.expect(f"{prefix}   sim")
            prompt.type("6*7\n")
            prompt.expect("\n42\n>>>")


def test_a_history_that_cannot_be_kept_is_told_at_the_end(board, broker, open_prompt, tmp_path):
    (tmp_path / "mqboard").write_text("a file in the folder's place")
    prompt = open_prompt(broker)
    prompt.expect("\n>>>")
    prompt.type("6*7\n")
    prompt.expect("\n42\n>>>")
    prompt.type("\x04")
    prompt.expect("No history is kept: ")
    assert prompt.ended() == 0
    assert os.path.isfile(tmp_path / "mqboard")
