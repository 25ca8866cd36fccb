"""Tests `mqboard boards`: the table, its JSON, what is watched, and nobody there."""

import json
import os
import pty
import re
import subprocess

import pytest
from commandline import ENVIRONMENT, command_line, here, on_terminal
from fakeboard import FakeBoard
from invoke import Context
from waiting import wait_until

from mqhost.cli.manage.boards import presence_listing
from mqhost.cli.tasks import project
from mqhost.fleet.presence import Presence
from mqhost.link.roster import Sighting


@pytest.fixture
def farm(broker, prefix):
    """Give the root of two boards, one of which is gone."""
    with FakeBoard(broker.port, f"{prefix}/here"):
        with FakeBoard(broker.port, f"{prefix}/deep/gone"):
            pass
        yield prefix


@pytest.fixture
def boards(broker, capsys):
    def run(*arguments, prefix=None):
        line = command_line(broker.port, prefix, "boards", *arguments)
        return here(capsys, line)

    return run


def test_a_line_for_each_board_sorted(boards, farm):
    process = boards(f"{farm}/#", prefix="another/one")  # the prefix of a board does not matter
    assert (process.returncode, process.stderr) == (0, "")
    lines = process.stdout.strip().splitlines()
    assert [line.split()[0] for line in lines if farm in line] == [
        f"{farm}/deep/gone",
        f"{farm}/here",
    ]
    gone, here = lines[-2:]
    assert "offline" in gone and "no reason known" in gone
    assert "online" in here and "0.1.0" in here and " ota_0 " in here


def test_a_column_that_nobody_fills_is_not_there(boards, farm):
    some = ["prefix", "state", "board", "version", "slot", "mode", "reset", "dBm"]
    assert boards(f"{farm}/here").stdout.splitlines()[0].split() == some
    assert boards(f"{farm}/#").stdout.splitlines()[0].split() == [*some, "note"]


def test_a_table_without_boards_is_none(boards, farm):
    assert boards(f"{farm}/nobody").stdout == ""
    assert "nothing to forget" in boards(f"{farm}/here", "--forget").stdout


def test_json_has_the_statuses_as_they_came(boards, farm):
    (here,) = json.loads(boards(f"{farm}/+", "--json").stdout)
    assert here["prefix"] == f"{farm}/here"
    assert (here["state"], here["board"], here["since"]) == ("online", "sim", None)


def test_what_a_board_says_at_great_length_is_cut_in_the_table():
    said = {"state": "online", "version": "9" * 200_000, "twin": "x" * 200_000}
    listing = presence_listing([Presence.of("farm/x", Sighting(said, None))])
    assert max(len(str(cell)) for row in listing.sections[0] for cell in row) == 300
    assert listing.record[0]["version"] == said["version"]


def test_nobody_there_is_exit_code_4(boards, prefix):
    process = boards(f"{prefix}/nobody/+")
    assert process.returncode == 4
    assert "access rules" in process.stderr
    assert json.loads(boards(f"{prefix}/nobody/+", "--json").stdout) == []


def test_a_prefix_with_a_typo_gets_the_nearest_known(boards, farm):
    process = boards(f"{farm}/heer")
    assert process.returncode == 4
    assert re.search(rf"Do you mean .*{re.escape(farm)}/here\b", process.stderr)


def test_boards_that_are_no_more_are_forgotten(boards, farm):
    assert boards("--forget").returncode == 2  # not all, by mistake
    (gone,) = json.loads(boards(f"{farm}/#", "--forget", "--json").stdout)
    assert gone["prefix"] == f"{farm}/deep/gone"
    (here,) = json.loads(boards(f"{farm}/#", "--json").stdout)
    assert here["prefix"] == f"{farm}/here"
    assert boards(f"{farm}/#", "--forget").returncode == 0


def test_a_wrong_pattern_is_a_usage_error(boards):
    process = boards("esp32*/#/a")
    assert process.returncode == 2 and "esp32/+" in process.stderr


def test_a_board_of_a_project_is_checked_by_the_command_and_by_the_task(
    boards, tmp_path, monkeypatch, capsys
):
    shed = tmp_path / "boards" / "shed" / "board.toml"
    shed.parent.mkdir(parents=True)
    monkeypatch.setattr("mqhost.build.board.PROJECT", tmp_path)
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    line = ("--definitions", "--verify", "--board", "shed")
    for text, code, words in (
        ('extends = "esp32s3"', 0, "6 checks found nothing wrong; 7 could not be made."),
        ('extends = "esp32s3"\nmanifest = "m.py"', 1, "1 of 13 checks found something wrong."),
    ):
        shed.write_text(f"{text}\n")
        ended = boards(*line)
        assert (ended.returncode, words in ended.stdout + ended.stderr) == (code, True)
    assert json.loads(boards(*line, "--json").stdout)[0]["state"] == "wrong"
    with pytest.raises(SystemExit, match="1"):
        project.boards(Context(), verify=True, board="shed")
    assert f"boards: {words}" in capsys.readouterr().err
    project.boards(Context(), board="shed")
    assert "ESP32-S3" in capsys.readouterr().out
    assert "boards" in project.__all__


@pytest.mark.parametrize(
    "line", [("--verify",), ("--board", "sim"), ("--definitions", "--micropython", ".")]
)
def test_what_goes_with_another_option_only_is_refused_without(boards, line):
    ended = boards(*line)
    assert ended.returncode == 2 and ended.stderr.count(" with --") == 1


def test_a_narrow_terminal_gets_sentences(broker, farm):
    line = command_line(broker.port, None, "boards", f"{farm}/#")
    shown = on_terminal(line).decode()
    assert f"{farm}/here" in shown and "\x1b[2J" not in shown


def test_watching_prints_news_as_json_lines(broker, prefix):
    line = command_line(broker.port, None, "boards", f"{prefix}/+", "--watch", "--json")
    with FakeBoard(broker.port, f"{prefix}/a") as board:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        try:
            assert process.stdout is not None
            first = json.loads(process.stdout.readline())
            board.power_off()
            second = json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.communicate(timeout=10)
    assert (first["state"], second["state"]) == ("online", "offline")
    assert first["since"] is None and second["since"].startswith("20")


def test_watching_in_a_pipe_says_when(broker, prefix):
    line = command_line(broker.port, None, "boards", f"{prefix}/+", "--watch")
    with FakeBoard(broker.port, f"{prefix}/a"):
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
        finally:
            process.terminate()
            process.communicate(timeout=10)
    assert re.match(rf"\d\d:\d\d:\d\d {prefix}/a: online, board sim, ", first)


def test_watching_on_a_terminal_draws_the_table_anew(broker, prefix):
    line = command_line(broker.port, None, "boards", f"{prefix}/+", "--watch")
    ours, theirs = pty.openpty()
    with FakeBoard(broker.port, f"{prefix}/a") as board:
        process = subprocess.Popen(line, stdout=theirs, stderr=theirs, env=ENVIRONMENT)
        os.close(theirs)
        try:
            shown = b""
            while b"online" not in shown:
                shown += os.read(ours, 4096)
            board.power_off()
            while b"offline" not in shown:
                shown += os.read(ours, 4096)
        finally:
            process.terminate()
            wait_until(lambda: process.poll() is not None)
            os.close(ours)
    assert process.returncode == 130
