"""Tests `mqboard modules`: the table, its JSON, changes, wrong names, and older firmware."""

import json

import pytest
from commandline import command_line, here
from fakeboard import FakeBoard


def module(name, state="running", **facts):
    usual = {"restarts": 0, "crashes": 0, "file": f"/app/{name}.py", "error": None}
    return {"name": name, "state": state} | usual | {"disabled": None, "since_s": 5} | facts


class ModulesBoard(FakeBoard):
    """A board with modules, `listed`; each change makes one what `becomes` says."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.listed = [
            module("blink", since_s=7200),
            module("leak", "disabled", disabled="after 3 crashes", crashes=3),
            module("pump", "waiting", error="OSError: 5", restarts=1234, again_s=61),
        ]
        self.becomes = {}
        self.asked = []

    def _do_modules(self, ident, body):
        action, _, name = body.decode().partition(" ")
        self.asked.append(body.decode())
        if action == "list":
            self.reply(
                ident, json.dumps({"mode": self.facts["mode"], "modules": self.listed}).encode()
            )
        else:
            self.reply(ident, json.dumps(module(name, **self.becomes)).encode())


@pytest.fixture
def board(broker, prefix):
    with ModulesBoard(broker.port, prefix) as running:
        yield running


@pytest.fixture
def modules(broker, prefix, capsys):
    def run(*arguments):
        line = command_line(broker.port, prefix, "modules", *arguments)
        return here(capsys, line)

    return run


def test_a_line_for_each_module(modules, board):
    process = modules()
    assert (process.returncode, process.stderr) == (0, "")
    blink, leak, pump = process.stdout.strip().splitlines()[-3:]
    assert blink.split()[:4] == ["blink", "running", "2", "h"] and "/app/blink.py" in blink
    assert "disabled after 3 crashes" in leak
    assert "waiting, again in 1 min" in pump and "1,234" in pump and "OSError: 5" in pump
    assert process.stdout == modules("list").stdout


def test_json_is_what_the_board_said(modules, board):
    for arguments in (["--json"], ["list", "--json"]):
        assert json.loads(modules(*arguments).stdout)["modules"] == board.listed


def test_safe_mode_is_told(modules, board):
    board.facts["mode"] = "safe"
    assert "safe mode: no module runs" in modules().stdout
    board.becomes = {"state": "stopped"}
    assert "leak is enabled; safe mode: no module runs." in modules("enable", "leak").stdout


def test_without_modules_it_says_so(modules, board):
    board.listed = []
    process = modules()
    assert process.returncode == 0 and "has no modules" in process.stdout
    assert "names none" in modules("restart", "blink").stderr


def test_a_change_is_asked_for_and_reported(modules, board):
    assert modules("enable", "leak").stdout == "leak: running.\n"
    assert modules("restart", "blink").stdout == "blink: running.\n"
    board.becomes = {"state": "disabled", "disabled": "by a person"}
    assert "disabled, over resets" in modules("disable", "blink").stdout
    changes = [text for text in board.asked if text != "list"]
    assert changes == ["enable leak", "restart blink", "disable blink"]


def test_one_that_dies_at_once_is_exit_code_1(modules, board):
    board.becomes = {"state": "failed", "error": "SyntaxError: invalid syntax"}
    process = modules("restart", "blink")
    assert (process.returncode, process.stdout) == (1, "")
    assert "SyntaxError: invalid syntax" in process.stderr
    assert json.loads(modules("restart", "blink", "--json").stdout)["state"] == "failed"


def test_a_wrong_name_gets_the_nearest(modules, board):
    process = modules("restart", "blnik")
    assert process.returncode == 2
    assert "blink?" in process.stderr and "leak, pump" in process.stderr
    assert board.asked == ["list"]


def test_nonsense_of_a_board_is_shown_and_harms_nothing(modules, board):
    board.listed = [None, {"name": ["\x1b[2J"], "state": 1, "since_s": "x", "restarts": True}]
    process = modules()
    assert process.returncode == 0 and "\x1b" not in process.stdout
    board.listed = "none"
    assert "no list" in modules().stderr


def test_older_firmware_is_told(modules, prefix, broker):
    with FakeBoard(broker.port, prefix):
        process = modules()
    assert process.returncode == 1 and "older than this tool" in process.stderr


def test_status_says_which_are_disabled(broker, prefix, board, capsys):
    board.facts["disabled"] = {"leak": "after 3 crashes", "a": "by a person"}
    board.announce()
    line = command_line(broker.port, prefix, "status")
    process = here(capsys, line)
    assert "a (by a person), leak (after 3 crashes)" in process.stdout
