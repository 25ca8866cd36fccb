"""Tests the Invoke tasks, run as a user runs them."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from invoke import Collection, Context

from ci import tasks
from ci.docs.reference import fresh_tasks
from mqhost.build.board import find
from mqhost.build.sources.source import VARIABLE
from mqhost.paths import ROOT
from mqhost.sim.broker import free_port

INVOKE = [sys.executable, "-m", "invoke"]


def invoke(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*INVOKE, *arguments], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def task_names() -> list[str]:
    return re.findall(r"^  (\S+)   ", invoke("--list").stdout, re.MULTILINE)


def test_every_task_has_a_line_of_help():
    assert {"build", "boards", "broker", "clean", "doctor", "test"} <= set(task_names())


def test_every_option_has_a_help_text():
    contexts = Collection.from_module(fresh_tasks()).to_contexts()
    assert {context.name for context in contexts} == set(task_names())
    for context in contexts:
        for name, option in context.args.items():
            assert option.help, f"{context.name}: {name}"
    assert re.search(r"--board=\S+ +\S", invoke("--help", "build").stdout)


@pytest.fixture
def environment_of(monkeypatch):
    """Give environment_of(**options) -> that of the program which runs the tests."""
    environments = []

    def run(argv, *, env, **_):
        environments.append(env)
        return subprocess.CompletedProcess(argv, 7)

    def call(**options):
        with pytest.raises(SystemExit, match="7"):
            tasks.test(Context(), **options)
        return environments.pop()

    monkeypatch.setattr(tasks.packages, "ensure", lambda *_, **__: None)
    monkeypatch.setattr(tasks.subprocess, "run", run)
    return call


def test_programs_of_the_tests_keep_what_python_compiled(environment_of, monkeypatch):
    """There are hundreds, and some environments forbid it."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = environment_of()
    assert "PYTHONDONTWRITEBYTECODE" not in environment and environment["PATH"]


def test_the_tests_run_on_the_micropython_that_is_asked_for(environment_of, monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert VARIABLE not in environment_of()
    header = tmp_path / "mine" / "py" / "mpconfig.h"
    header.parent.mkdir(parents=True)
    parts = (("MAJOR", 1), ("MINOR", 29), ("MICRO", 0))
    header.write_text("".join(f"#define MICROPY_VERSION_{part} {n}\n" for part, n in parts))
    monkeypatch.chdir(tmp_path)
    assert environment_of(micropython="mine")[VARIABLE] == str(tmp_path / "mine")
    release = find("sim").fallback
    assert environment_of(micropython=release)[VARIABLE] == release


def test_the_boards_are_listed():
    assert "sim" in invoke("boards").stdout


def test_the_doctor_names_what_things_are_for():
    result = invoke("doctor")
    assert result.returncode == 0
    assert "mosquitto" in result.stdout and "the MQTT broker" in result.stdout


def test_a_wrong_board_is_one_line_and_exit_2():
    result = invoke("build", "--board", "nope")
    assert result.returncode == 2
    assert re.fullmatch(r"There is no board 'nope'\. Known boards: .*sim.*\n", result.stderr)


def test_the_broker_task_serves_until_ctrl_c():
    port = free_port()
    argv = [*INVOKE, "broker", "--port", str(port)]
    with subprocess.Popen(
        argv,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        while f"127.0.0.1:{port}" not in line:
            assert line, "the broker ended early"
            line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 10
        rest = process.stdout.read()
        # 130 where the signal came before the task had settled down to wait for it.
        assert process.wait(max(0.1, deadline - time.monotonic())) in (0, 130)
    assert "Traceback" not in rest


def test_every_document_is_named_in_the_readme():
    text = (ROOT / "README.md").read_text().partition("## Where to go next")[2]
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT).as_posix()
        assert f"- [{name}]({name}): " in text
