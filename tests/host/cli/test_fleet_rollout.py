"""Tests `mqboard fleet rollout`: the plan, how it goes, who failed, and what changes it."""

import json
import re
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack

import pytest
from click.testing import CliRunner
from commandline import APP, ENVIRONMENT, command_line, here, on_terminal, write_app
from fakeboard import FakeBoard
from pushing import offer_for
from waiting import wait_until

from mqhost.cli.fleet.rollout import starting
from mqhost.cli.fleet.rollout.command import rollout_command
from mqhost.cli.terminal.questions import Questions
from mqhost.fleet.rollout import control
from mqhost.fleet.rollout.states import FINISHED, PAUSED, SENDING, STOPPED
from mqhost.fleet.store import opening
from mqhost.fleet.store.store import Store
from mqhost.sim.broker import Broker
from mqwire import update as wire

NOW = ("--settle", "0s", "--yes")
NAMES = ("farm/a", "farm/b", "farm/c")


@pytest.fixture(scope="module")
def broker():
    """Run a broker of our own: what others have left at theirs matches patterns, too."""
    with Broker() as running:
        yield running


@pytest.fixture
def farm(broker):
    with ExitStack() as stack:
        yield [stack.enter_context(FakeBoard(broker.port, name)) for name in NAMES]


@pytest.fixture
def store(tmp_path):
    with Store(str(tmp_path / "fleet.db")) as opened:
        yield opened


@pytest.fixture
def app(tmp_path):
    return write_app(tmp_path)


@pytest.fixture
def rollout(broker, capsys, tmp_path, monkeypatch, app):
    """Give rollout(*arguments) -> how the command ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MQBOARD_DATABASE", str(tmp_path / "fleet.db"))
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))

    def run(*arguments, **environment):
        line = command_line(broker.port, None, "fleet", "rollout", *arguments)
        return here(capsys, line, **environment)

    return run


def order(farm, store):
    """Return the boards as they have their turn."""
    places = [board.prefix for board in store.read(1)[1]]
    return sorted(farm, key=lambda board: places.index(board.prefix))


def test_it_is_planned_agreed_to_and_goes_wave_by_wave(rollout, farm, app, monkeypatch):
    farm[2].facts["board"] = "esp32"
    farm[2].announce()
    asked = []
    somebody = Questions(lambda question: asked.append(question) or "n", None)
    with monkeypatch.context() as patch:
        patch.setattr(starting.Questions, "at_terminal", lambda: somebody)
        ended = rollout("app.bin", "farm/+", "--settle", "0s")
    assert ended.returncode == 2 and "Nothing was started" in ended.stderr
    assert asked == ["Start this rollout? [y/N] "]
    assert "sim 0.2.0 (" in ended.stdout and "for 2 boards." in ended.stdout
    assert "Skipped, no image is for board esp32: farm/c." in ended.stdout
    assert "It stops by itself when more than 0 of 2 fail." in ended.stdout
    rows = [line.split()[:2] for line in ended.stdout.splitlines()]
    assert ["canaries", "1"] in rows and ["wave", "1"] in rows
    ended = rollout("app.bin", "farm/+", *NOW)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[-1] == "Rollout 1 is finished. 3 boards: 2 done, 1 skipped."
    assert "Canaries: 1 board." in lines and "Wave 1: 1 board." in lines
    assert sum("runs it, confirmed and healthy." in line for line in lines) == 2
    assert [board.image == APP for board in farm] == [True, True, False]
    ended = rollout("app.bin", "farm/+", *NOW)
    assert ended.returncode == 2 and "nothing to roll out: no image is for" in ended.stderr
    ended = rollout("forget", "1")
    assert ended.stdout == "Forgotten: 1.\n"
    assert "There is no rollout in the database" in rollout("list").stdout


def test_a_canary_that_refuses_stops_it_and_the_reason_is_said(rollout, farm, store, app):
    for board in farm:
        board.refuse = wire.TOO_LARGE
    ended = rollout("app.bin", "farm/+", "--canary", "1", *NOW)
    canary, *others = order(farm, store)
    assert ended.returncode == 1
    assert f"failed: {canary.prefix}: " in ended.stdout
    assert "does not fit the board's slot" in ended.stdout
    assert "Rollout 1 is stopped. 3 boards: 2 waiting, 1 failed." in ended.stderr
    assert "It stopped: 1 had failed by then, and 0 might (--max-failed 2%)" in ended.stderr
    assert "mqboard fleet rollout retry-failed 1" in ended.stderr
    assert store.rollout(1).state == STOPPED and not any(one.block_messages for one in others)
    ended = rollout("resume")
    assert ended.returncode == 2 and "would stop at once" in ended.stderr
    for board in farm:
        board.refuse = None
    ended = rollout("retry-failed")
    assert ended.returncode == 0 and "is running" in ended.stdout
    assert "Nobody drives it: mqboard fleet rollout drive 1" in ended.stdout
    ended = rollout("drive")
    assert ended.returncode == 0, ended.stderr
    assert "3 boards: 3 done." in ended.stdout
    assert {board.image for board in farm} == {APP}


def test_more_may_fail_from_now_on(rollout, farm, store, app):
    for board in farm:
        board.refuse = wire.TOO_LARGE
    assert rollout("app.bin", "farm/+", "--canary", "1", *NOW).returncode == 1
    for board in farm:
        board.refuse = None
    assert rollout("resume", "1", "--max-failed", "1").returncode == 0
    ended = rollout("drive", "1", "--json")
    assert ended.returncode == 1
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert events[-1]["event"] == "end" and events[-1]["counts"] == {"done": 2, "failed": 1}
    assert "is finished. 3 boards: 2 done, 1 failed." in ended.stderr
    assert "Another turn for those: mqboard fleet rollout retry-failed 1" in ended.stderr


def test_it_is_kept_looked_at_paused_and_aborted(rollout, farm, store, app):
    hour = (time.localtime().tm_hour + 2) % 24
    window = f"{hour:02}:00-{hour:02}:30"
    ended = rollout("app.bin", "farm/+", "--no-drive", "--window", window, *NOW)
    assert ended.returncode == 0 and "It begins with: mqboard fleet rollout drive 1" in ended.stdout
    assert f"Only from {window}." in ended.stdout
    shut = rf"Outside its window, {window}: nothing begins before 20\d\d-\d\d-\d\d {hour:02}:00."
    assert re.search(shut, rollout("status").stdout)
    record = json.loads(rollout("status", "--json").stdout)
    assert (record["id"], record["state"], record["driver"]) == (1, "running", None)
    assert [image["version"] for image in record["images"]] == ["0.2.0"]
    assert [board["state"] for board in record["boards"]] == ["waiting"] * 3
    assert rollout("pause").returncode == 0 and store.rollout(1).state == PAUSED
    ended = rollout("status", "--boards")
    assert f"is paused: paused by {control.person()}" in ended.stdout
    assert f"sim 0.2.0 ({offer_for(APP).sha256[:12]}) for 3 boards." in ended.stdout
    assert all(name in ended.stdout for name in NAMES)
    ended = rollout("app.bin", "farm/a", *NOW)
    assert ended.returncode == 2 and "still to be updated by rollout 1" in ended.stderr
    (row,) = json.loads(rollout("list", "--json").stdout)
    assert row["counts"] == {"waiting": 3} and row["created_by"] == control.person()
    ended = rollout("forget", "1")
    assert ended.returncode == 2 and "Abort it first" in ended.stderr
    assert "is aborted" in rollout("abort").stdout
    ended = rollout("drive", "1")
    assert ended.returncode == 1 and "3 boards: 3 dropped." in ended.stderr
    assert rollout("forget", "--older", "1d").stdout == "Forgotten: none.\n"
    assert rollout("forget", "--older", "0s").stdout == "Forgotten: 1.\n"
    assert rollout("forget").returncode == 2


def test_events_are_json_and_what_people_read_goes_to_stderr(rollout, farm, app):
    ended = rollout("start", "app.bin", "farm/a", "farm/b", "--json", *NOW)
    assert ended.returncode == 0, ended.stderr
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert events[0]["event"] == "start" and events[0]["images"][0]["board"] == "sim"
    assert sorted(sum(events[0]["waves"], [])) == ["farm/a", "farm/b"]
    kinds = {event["event"] for event in events}
    assert kinds == {"start", "rollout", "board", "progress", "end"}
    done = {one["prefix"] for one in events if one.get("state") == "done" and "prefix" in one}
    assert done == {"farm/a", "farm/b"}
    assert "It stops by itself" in ended.stderr and "2 boards: 2 done." in ended.stderr


def test_words_are_images_by_what_is_there_and_else_patterns(rollout, farm, tmp_path, app):
    folder = tmp_path / "release" / "sim"
    folder.mkdir(parents=True)
    for name in ("app.bin", "image.json"):
        shutil.move(tmp_path / name, folder / name)
    ended = rollout("farm/a", "release", "farm/b", "--no-drive", "--yes")
    assert ended.returncode == 0 and "for 2 boards." in ended.stdout
    digits = offer_for(APP).sha256[:10]
    ended = rollout(digits, "farm/c", "--no-drive", "--yes")
    assert ended.returncode == 0 and "for 1 board." in ended.stdout
    ended = rollout("farm/+", "farm/a", "--yes")
    assert ended.returncode == 2 and "farm/+ is missing" in ended.stderr
    ended = rollout(digits, "--yes")
    assert ended.returncode == 2 and "Which boards?" in ended.stderr
    ended = rollout(digits, "farm/+", "--wave", "5,3", "--yes")
    assert ended.returncode == 2 and "does not grow" in ended.stderr


def test_a_command_that_is_written_wrongly_begins_no_rollout(rollout, tmp_path):
    ended = rollout("stauts")
    assert ended.returncode == 2 and "Did you mean status?" in ended.stderr
    (tmp_path / "stauts").mkdir()  # but what is there is an image
    assert "stauts has no app.bin in it" in rollout("stauts").stderr


def test_options_before_a_command_are_told_their_place():
    ended = CliRunner().invoke(rollout_command, ["--database", "x.db", "status"])
    assert ended.exit_code == 2 and "rollout status …" in ended.stderr


def test_without_the_extra_it_is_said_what_to_install(rollout, app, monkeypatch):
    def missing(name, *arguments):
        if name == "mqhost.fleet.store.store":
            raise ModuleNotFoundError("No module named 'sqlalchemy'", name="sqlalchemy")
        return real(name, *arguments)

    real = __import__
    monkeypatch.setitem(opening.__builtins__, "__import__", missing)
    ended = rollout("status")
    assert ended.returncode == 2 and "pipx install --force 'mqboard[fleet]'" in ended.stderr


def test_a_rollout_of_another_broker_is_not_driven_by_mistake(rollout, farm, store, app):
    rollout("app.bin", "farm/+", "--no-drive", *NOW)
    with store.database.change() as connection:
        connection.exec_driver_sql("UPDATE rollouts SET broker = 'b.example:8883 (TLS)'")
    ended = rollout("drive", "1")
    assert ended.returncode == 2 and "are at the broker b.example:8883 (TLS)" in ended.stderr
    assert rollout("drive", "1", "--same-broker").returncode == 0


@pytest.fixture
def processes(broker, tmp_path, app):
    """Give begin(*arguments) -> a process of `mqboard fleet rollout`."""
    running = []
    environment = ENVIRONMENT | {
        "MQBOARD_DATABASE": str(tmp_path / "fleet.db"),
        "MQBOARD_CACHE": str(tmp_path / "cache"),
    }

    def begin(*arguments):
        line = command_line(broker.port, None, "fleet", "rollout", *arguments)
        process = subprocess.Popen(
            line, cwd=tmp_path, env=environment, text=True, bufsize=1,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait(30)
        process.stdout.close()


def states(store):
    return [board.state for board in store.read(1)[1]] if store.rollouts() else []


def test_ctrl_c_leaves_it_in_the_database_and_says_how_to_go_on(farm, store, processes, rollout):
    for board in farm:
        board.silent = {"info"}
    process = processes("app.bin", "farm/+", *NOW)
    wait_until(lambda: SENDING in states(store), 60)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "Go on with: mqboard fleet rollout drive 1" in out
    assert store.driver(1) is None
    for board in farm:
        board.silent = set()
    ended = rollout("drive")
    assert ended.returncode == 0 and "3 boards: 3 done." in ended.stdout, ended.stderr


def test_a_window_that_is_shut_is_said_and_waited_for(farm, store, processes):
    hour = (time.localtime().tm_hour + 2) % 24
    process = processes("app.bin", "farm/+", "--window", f"{hour:02}:00-{hour:02}:30", *NOW)
    while not (line := process.stdout.readline()).startswith("Outside its window"):
        assert line
    assert states(store) == ["waiting"] * 3


def test_a_second_process_waits_and_goes_on_when_the_first_is_killed(farm, store, processes):
    for board in farm:
        board.silent = {"info"}
    first = processes("app.bin", "farm/+", *NOW)
    wait_until(lambda: SENDING in states(store), 60)
    second = processes("drive")
    assert second.stdout.readline().startswith("Driven by ")
    first.kill()
    first.wait(30)
    for board in farm:
        board.silent = set()
    with store.database.change() as connection:  # 15 s later
        connection.exec_driver_sql("UPDATE driver_leases SET expires_at = 0")
    out, _ = second.communicate(timeout=240)
    assert second.returncode == 0, out
    assert "This process drives now." in out and "3 boards: 3 done." in out
    assert store.rollout(1).state == FINISHED
    assert {board.image for board in farm} == {APP}


def test_on_a_terminal_it_is_drawn(farm, broker, app, tmp_path):
    line = command_line(broker.port, None, "fleet", "rollout", str(app), "farm/+", *NOW)
    database = ("--database", str(tmp_path / "drawn.db"))
    drawn = on_terminal([*line, *database]).decode()
    assert "canaries" in drawn and "Rollout 1 is finished. 3 boards: 3 done." in drawn
    assert "\x1b[" in drawn  # it was drawn over
