"""Tests what TAB completes, and that it is silent and in time whatever goes wrong."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commandline import ENVIRONMENT, command_line, here

from mqhost.fleet.memory import recall, remember
from mqhost.link.settings import Settings
from mqhost.sim.broker import free_port

LONG = 20.0  # seconds that nobody waits at TAB, even on a slow machine
TOML = """
[boards.pump]
prefix = "farm/pump"
[boards.lamp]
prefix = "home/lamp"
[groups.north]
boards = ["pump"]
[brokers.farm]
server = "farm.example"
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tab(tmp_path):
    """Give tab(*words, **variables) -> what the last word can become; nothing may be on stderr."""

    def run(*words, **variables):
        environment = ENVIRONMENT | {
            "MQBOARD_CACHE": str(tmp_path / "cache"),
            "_MQBOARD_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["mqboard", *words]),
            "COMP_CWORD": str(len(words)),
        }
        process = subprocess.run(
            [sys.executable, "-c", "from mqhost.cli.main import main; main()"],
            env=environment | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=LONG,
        )
        assert process.stderr == ""
        return [line.partition(",")[2] for line in process.stdout.splitlines() if line]

    return run


def test_commands_and_options_are_completed(tab):
    assert {"clock", "completion", "config", "crash"} <= set(tab("c"))
    assert tab("config", "se") == ["set"]
    assert {"--prefix", "--port"} <= set(tab("--p"))
    assert "--levels" in tab("log", "--l")


@pytest.mark.parametrize(
    "line", [["put"], ["put", "a.py"], ["cp"], ["mount", "src", "run"], ["install", "--index"]]
)
def test_files_of_this_machine_are_left_to_the_shell(tab, line):
    assert tab(*line, "a.") == ["a."]  # of the type `file`
    assert tab(*line, ":a.") == []  # that is on the board


def test_commands_are_completed_without_importing_them():
    look = "from mqhost.cli.main import cli; import sys, click"
    look += "; cli.shell_complete(click.Context(cli), ''); print(*sys.modules)"
    line = [sys.executable, "-c", look]
    process = subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert "paho" not in process.stdout and "mqhost.cli.manage" not in process.stdout


def test_names_come_from_the_file(tab, tmp_path):
    (tmp_path / "mqboard.toml").write_text(TOML)
    assert tab("--to", "") == ["lamp", "pump"]
    assert tab("--to", "p") == ["pump"]
    assert tab("--group", "") == ["north"]
    assert tab("--broker", "f") == ["farm"]


def test_prefixes_come_from_the_broker_and_the_file(tab, tmp_path, board):
    (tmp_path / "mqboard.toml").write_text(TOML)
    at = {"MQBOARD_PORT": str(board.port)}
    assert tab("--prefix", board.prefix[:6], **at) == tab("boards", board.prefix[:6], **at)
    assert board.prefix in tab("--prefix", "", **at)
    assert tab("--prefix", "farm/", **at) == ["farm/pump"]
    assert tab("--port", str(board.port), "--prefix", board.prefix) == [board.prefix]


def test_what_a_shell_would_take_apart_is_left_out(tab):
    closed = free_port()
    remember(Settings(port=closed), ["a/b", "a/b c", "a/$(reboot)", "a/;x", "a/\x1b[2J"])
    assert tab("--prefix", "", MQBOARD_PORT=str(closed)) == ["a/b"]


def test_what_is_remembered_is_fresh_for_a_while_and_better_than_nothing_after(tab, board):
    settings = Settings(port=board.port)
    remember(settings, ["remembered/one"])
    at = {"MQBOARD_PORT": str(board.port)}
    assert tab("--prefix", "", **at) == ["remembered/one"]
    (file,) = Path(os.environ["MQBOARD_CACHE"], "prefixes").iterdir()
    os.utime(file, (1, 1))
    assert board.prefix in tab("--prefix", "", **at)
    assert board.prefix in recall(settings).prefixes  # as it was asked for
    nobody = {"MQBOARD_PORT": str(free_port())}
    remember(Settings(port=int(nobody["MQBOARD_PORT"])), ["remembered/two"])
    for file in Path(os.environ["MQBOARD_CACHE"], "prefixes").iterdir():
        os.utime(file, (1, 1))
    assert tab("--prefix", "", **nobody) == ["remembered/two"]


def test_boards_fills_the_memory(capsys, tmp_path, monkeypatch, board):
    monkeypatch.chdir(tmp_path)
    assert here(capsys, command_line(board.port, None, "boards")).returncode == 0
    assert board.prefix in recall(Settings(port=board.port)).prefixes


def test_no_broker_completes_nothing(tab):
    assert tab("--prefix", "", MQBOARD_PORT=str(free_port())) == []


def test_a_broker_that_says_nothing_is_not_waited_for(tab):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        began = time.monotonic()
        assert tab("--prefix", "", MQBOARD_PORT=str(mute.getsockname()[1])) == []
        assert time.monotonic() - began < 9  # it would be waited for 10 s


def test_a_wrong_file_completes_nothing(tab, tmp_path):
    (tmp_path / "mqboard.toml").write_text("sever = 1")
    assert tab("--prefix", "") == [] and tab("--to", "") == []


def test_a_password_command_is_not_run(tab, tmp_path):
    config = tmp_path / "config" / "mqboard"
    config.mkdir(parents=True)
    (config / "mqboard.toml").write_text(
        f'port = {free_port()}\nusername = "u"\npassword_command = "touch {tmp_path}/ran"\n'
    )
    assert tab("--prefix", "", XDG_CONFIG_HOME=str(tmp_path / "config")) == []
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", ["", "[1]", "{}", "["])
def test_a_damaged_memory_is_none(damage):
    settings = Settings(port=1)
    remember(settings, ["a"])
    (file,) = Path(os.environ["MQBOARD_CACHE"], "prefixes").iterdir()
    assert json.loads(file.read_text()) == ["a"]
    file.write_text(damage)
    assert recall(settings) is None


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_printed(capsys, shell):
    ended = here(capsys, ["", "", "", "completion", shell])
    assert ended.returncode == 0
    assert f"_MQBOARD_COMPLETE={shell}_complete" in ended.stdout


def test_an_unknown_shell_is_a_usage_error(capsys):
    ended = here(capsys, ["", "", "", "completion", "csh"])
    assert ended.returncode == 2 and "'csh' is not one of" in ended.stderr


def test_bash_completes_with_it(tmp_path):
    bin_ = tmp_path / "mqboard"
    bin_.write_text(f'#!/bin/sh\nexec {sys.executable} -m mqhost.cli "$@"\n')
    bin_.chmod(0o755)
    script = 'eval "$(mqboard completion bash)"; COMP_WORDS=(mqboard rollb); COMP_CWORD=1'
    script += '; _mqboard_completion mqboard; echo "[${COMPREPLY[*]}]"'
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.run(
        ["bash", "-c", script],
        env=ENVIRONMENT | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert (process.stdout, process.stderr) == ("[rollback]\n", "")
