"""Tests kill -9: of a process that drives a rollout, wherever it is, another one goes on."""

import subprocess
import sys
from pathlib import Path

import pytest
from rolloutparts import options, picture, presence
from sqlalchemy import update

from mqhost.fleet.rollout.plan import make_plan
from mqhost.fleet.rollout.states import DONE, FINISHED
from mqhost.fleet.store import tables
from mqhost.fleet.store.store import Store

PROGRAM = Path(__file__).with_name("rolloutdriver.py")
NAMES = [f"b{number}" for number in range(6)]
TTL = 3600  # however slow the machine is: the tests have the leases of the dead lapse


@pytest.fixture
def store(place):
    with Store(place) as opened:
        yield opened


@pytest.fixture
def number(store):
    wish = options(canary="1", wave="3,100%", parallel="2")
    image = picture()
    plan = make_plan([presence(name) for name in NAMES], [image[0]], wish)
    return store.create(plan, [image], wish, broker="b", who="anna")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "boards"
    path.mkdir()
    for name in NAMES:
        (path / name).write_text("old")
    return path


@pytest.fixture
def start(place, number, folder):
    """Give start(name) -> a driver in a process of its own, that is ready."""
    processes = []

    def begin(name):
        argv = [sys.executable, PROGRAM, place, str(number), folder, name, str(TTL)]
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        processes.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait(30)
        process.stdin.close()
        process.stdout.close()


def next_line(process):
    return process.stdout.readline().split()


def go_on(process):
    """Have the process end one push."""
    process.stdin.write("\n")


def finish(process):
    """Have the process end all pushes, until the rollout is over; return the boards it sent to."""
    sent = []
    while (line := next_line(process)) != ["over"]:
        assert line, "it has ended too early"
        if line[0] == "push":
            go_on(process)
        else:
            sent.append(line[1])
    assert process.wait(60) == 0
    return sent


def kill(process, store):
    """Kill the process, and have its lease lapse."""
    process.kill()
    process.wait(30)
    with store.database.change() as connection:
        connection.execute(update(tables.leases).values(expires_at=0))


def test_another_takes_over_from_a_killed_one_and_no_board_is_sent_what_it_has(
    store, number, start
):
    first = start("first")
    word, canary = next_line(first)
    assert word == "push"
    second = start("second")
    assert store.driver(number) == "first"
    go_on(first)
    assert next_line(first) == ["sent", canary]
    kill(first, store)  # before or after it is stored
    sent = finish(second)
    assert sorted([canary, *sent]) == NAMES
    rollout, boards = store.read(number)
    assert rollout.state == FINISHED and {board.state for board in boards} == {DONE}


def test_killed_again_and_again_it_ends_right(store, number, start, folder):
    kills = 0
    while True:
        driver = start(f"driver {kills}")
        line = next_line(driver)
        if kills == 8 or line == ["over"]:
            break
        if kills % 2:  # in the middle of a push, or just after one
            go_on(driver)
            while line[0] != "sent":
                line = next_line(driver)
        kill(driver, store)
        kills += 1
    assert kills >= 6
    if line != ["over"]:
        go_on(driver)
        finish(driver)
    rollout, boards = store.read(number)
    assert rollout.state == FINISHED and {board.state for board in boards} == {DONE}
    assert {board.attempts for board in boards} == {0}
    assert {file.read_text() for file in folder.iterdir()} == {picture()[0].sha256}
