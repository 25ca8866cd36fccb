"""Tests commands for many boards: tables, JSON by prefix, exit codes, and what refuses."""

import json
import signal
import subprocess
from contextlib import ExitStack

import pytest
from commandline import ENVIRONMENT, command_line, here
from fakeboard import FakeBoard
from waiting import wait_until

from mqhost.sim.broker import Broker


@pytest.fixture(scope="module")
def broker():
    """Run a broker of our own: what others have left at theirs matches patterns, too."""
    with Broker() as running:
        yield running


@pytest.fixture(scope="module")
def farm(broker):
    """Run three boards at farm/…; c is offline since it has power no more."""
    with ExitStack() as stack:
        boards = [stack.enter_context(FakeBoard(broker.port, f"farm/{name}")) for name in "abc"]
        boards[0].config["modules"] = {"blink": {}}
        boards[2].power_off()
        yield boards


@pytest.fixture
def mqboard(farm, broker, capsys, tmp_path, monkeypatch):
    """Give mqboard(*arguments, prefix=…) -> how it ends; no prefix with None."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, prefix="farm/+", **environment):
        return here(capsys, command_line(broker.port, prefix, *arguments), **environment)

    return run


def rows(text):
    """Return the lines of a table as words, without its head."""
    return [line.split() for line in text.splitlines()[2:] if line.strip()]


def test_info_has_a_row_for_each_board(mqboard):
    ended = mqboard("info")
    assert ended.returncode == 4
    head, *_ = ended.stdout.splitlines()
    assert head.startswith("prefix board version") and head.split()[-1] == "note"
    first, second, third = rows(ended.stdout)
    assert first[:4] == ["farm/a", "sim", "0.1.0", "ota_0"] and second[0] == "farm/b"
    assert third == ["farm/c", "offline", "(no", "reason", "known)"]


def test_info_as_json_is_one_object_by_prefix(mqboard):
    ended = mqboard("info", "--json")
    record = json.loads(ended.stdout)
    assert list(record) == ["farm/a", "farm/b", "farm/c"]
    assert record["farm/a"]["board"] == "sim"
    assert record["farm/c"] == {"error": "offline (no reason known)", "exit_code": 4}
    assert ended.returncode == 4 and not ended.stderr


def test_status_has_those_who_are_away_without_asking_anybody(mqboard, farm):
    asked = [len(board.requests) for board in farm]
    ended = mqboard("status")
    assert ended.returncode == 4
    states = {row[0]: row[1] for row in rows(ended.stdout)}
    assert states == {"farm/a": "online", "farm/b": "online", "farm/c": "offline"}
    assert json.loads(mqboard("status", "--json").stdout)["farm/c"] == {"state": "offline"}
    assert asked == [len(board.requests) for board in farm]


def test_eval_shows_answers_side_by_side(mqboard):
    ended = mqboard("eval", "45+876")
    assert [row[:2] for row in rows(ended.stdout)] == [
        ["farm/a", "921"],
        ["farm/b", "921"],
        ["farm/c", "offline"],
    ]
    assert ended.returncode == 4


def test_answers_of_several_lines_stand_below_their_prefixes(mqboard):
    shown = mqboard("eval", "print('x\\ny')").stdout
    assert shown.startswith("farm/a:\n  x\n  y\nfarm/b:\n  x\n  y\nfarm/c:\n  offline")


def test_an_error_in_a_table_is_the_last_line_of_a_traceback(mqboard):
    ended = mqboard("eval", "1/0", prefix="farm/+")
    assert "ZeroDivisionError: division by zero" in ended.stdout
    assert "Traceback" not in ended.stdout


def test_the_code_on_standard_input_is_for_all(mqboard, monkeypatch):
    monkeypatch.setattr("mqhost.cli.edge.Edge._standard_input", "40+2")
    assert mqboard("eval", "-").stdout.count("42") == 2


def test_tables_are_joined_with_the_prefix_in_front(mqboard):
    shown = mqboard("config", "get").stdout
    assert shown.split()[:4] == ["prefix", "key", "value", "note"]
    assert ["farm/a", "broker.host", "h"] in rows(shown)
    assert ["farm/b", "broker.host", "h"] in rows(shown)


def test_a_value_of_each_is_a_line(mqboard):
    assert ["farm/b", "h"] in rows(mqboard("config", "get", "broker.host").stdout)
    assert json.loads(mqboard("config", "get", "broker", "--json").stdout)["farm/a"]["host"] == "h"


def test_a_group_works_as_a_pattern_does(mqboard, tmp_path):
    (tmp_path / "mqboard.toml").write_text(
        '[boards.first]\nprefix = "farm/a"\n[groups.some]\nboards = ["first", "farm/nobody"]\n'
    )
    ended = mqboard("--group", "some", "eval", "1", prefix=None)
    assert [row[:2] for row in rows(ended.stdout)] == [["farm/a", "1"], ["farm/nobody", "has"]]
    assert ended.returncode == 4
    ended = mqboard("--group", "some", "boards", prefix=None)
    assert [row[0] for row in rows(ended.stdout)] == ["farm/a"]
    assert mqboard("--to", "first", "eval", "1", prefix=None).stdout == "1\n"


def test_a_member_of_a_group_that_is_a_typo_is_told_what_it_may_be(mqboard, tmp_path):
    (tmp_path / "mqboard.toml").write_text(
        '[boards.lamp]\nprefix = "farm/a"\n[groups.some]\nboards = ["lapm", "farm/bb"]\n'
    )
    said = mqboard("--group", "some", "eval", "1", "--json", prefix=None)
    errors = {prefix: answer["error"] for prefix, answer in json.loads(said.stdout).items()}
    assert errors["lapm"].endswith("announced itself at this broker. Do you mean --to lamp?")
    assert "mean farm/" in errors["farm/bb"]
    ended = mqboard("--group", "some", "status", prefix=None)
    assert "Do you mean --to lamp?" in ended.stderr and "mean farm/" in ended.stderr


def test_all_are_asked_over_one_connection(mqboard):
    said = mqboard("-v", "eval", "1").stderr
    assert said.count("connecting to") == 1
    assert said.count("> farm/") >= 2


def test_boards_that_nobody_knows_are_told(mqboard):
    for command in ("info", "status"):
        ended = mqboard(command, prefix="barn/+")
        assert ended.returncode == 4
        assert "No board at barn/+ has announced itself" in ended.stderr


CHANGES = {
    "reset": (),
    "rollback": (),
    "ota": ("--image", "x"),
    "clock": ("--set",),
    "log": ("--levels",),
    "config set": ("update.confirm_s=120",),
    "config unset": ("update.confirm_s",),
    "crash clear": (),
    "modules restart": ("blink",),
}


@pytest.mark.parametrize("words", CHANGES)
def test_what_changes_something_is_for_one_board(mqboard, farm, words):
    ended = mqboard(*words.split(), *CHANGES[words])
    assert ended.returncode == 2
    assert "farm/+ can be many boards, and this command is for one at a time" in ended.stderr
    assert not {"reset", "update"} & {command for board in farm for command, _ in board.requests}


def test_ctrl_c_ends_waiting_for_all(farm, broker, tmp_path):
    for board in farm:
        board.silent.add("info")
    asked = len(farm[1].requests)
    line = command_line(broker.port, "farm/+", "-T", "60", "info")
    process = subprocess.Popen(
        line, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        wait_until(lambda: len(farm[1].requests) > asked)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
        assert (process.returncode, told.strip()) == (130, b"")
    finally:
        process.kill()
        for board in farm:
            board.silent.clear()
