"""Tests `mqboard fleet rollout` on three real simulated boards: a canary that goes back stops it; a
driver that is killed is followed by another; a board that was away has its turn when it is back.
"""

import json
from contextlib import closing

import pytest
from waiting import wait_until

from mqhost.fleet.rollout import control
from mqhost.fleet.rollout.notes import Notes
from mqhost.fleet.rollout.states import ABSENT, DONE, PAUSED, SENDING, SETTLING, WAITING
from mqhost.fleet.store.store import Store
from mqhost.link.connection import Connection

LONG = 240  # seconds, for what a machine with much else to do does
QUICK = {"health_s": 0.5, "confirm_s": 4}
CRASH = "raise RuntimeError('broken at import')\n"


@pytest.fixture(scope="module")
def flock(make_shared_board):
    boards = [make_shared_board(prefix=f"flock/{name}", update=QUICK) for name in "abc"]
    for board in boards:
        board.wait_online()
        board.wait_settled()
    return boards


@pytest.fixture
def database(tmp_path):
    return tmp_path / "fleet.db"


@pytest.fixture
def store(database):
    with Store(str(database)) as opened:
        yield opened


@pytest.fixture
def rollout(flock, database):
    """Give rollout(*words) -> a process of `mqboard fleet rollout`, which ends with the test."""
    processes = []

    def begin(*words):
        process = flock[0].command("fleet", "rollout", *words, "--database", database)
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate(timeout=30)


@pytest.fixture
def note_at(flock):
    """Give note_at(prefix) -> the note that the broker has there."""
    connection = Connection(flock[0].settings())
    connection.connect()
    with closing(connection), Notes(connection) as notes:
        yield notes.at


def rows(store):
    return {board.prefix: board for board in store.read(1)[1]} if store.rollouts() else {}


def test_a_canary_that_goes_back_stops_it_and_says_why(flock, rollout, store, firmware, variant):
    broken = variant("2.0.0-crash", {"mqboard/startup.py": CRASH})
    process = rollout(broken.app, "flock/+", "--canary", "1", "--settle", "0s", "--yes")
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 1, (out, err)
    (failed,) = [board for board in rows(store).values() if board.state == "failed"]
    assert f"failed: {failed.prefix}: " in out and "broken at import" in out
    assert "Rollout 1 is stopped. 3 boards: 2 waiting, 1 failed." in err
    for board in flock:
        status = board.wait_confirmed()
        assert status["image"] == firmware.sha256
        assert bool(status.get("failed")) == (board.prefix == failed.prefix)


def test_another_driver_goes_on_and_who_was_away_has_its_turn(
    flock, rollout, store, variant, note_at
):
    new = variant("2.0.0")
    away = flock[1]
    away.device.power_off()
    with away.session(patient=False) as session:
        assert session.wait_status(lambda status: status["state"] == "offline", LONG)
    words = (new.app, "flock/+", "--canary", "0", "--parallel", "1", "--settle", "1s", "--yes")
    first = rollout(*words)
    moving = {SENDING, SETTLING}
    wait_until(lambda: moving & {board.state for board in rows(store).values()}, LONG)
    second = rollout("drive", "--json")
    assert "driver" in second.stdout.readline() + second.stdout.readline()
    first.kill()
    first.communicate(timeout=30)
    with store.database.change() as connection:  # 15 s later
        connection.exec_driver_sql("UPDATE driver_leases SET expires_at = 0")
    wait_until(lambda: rows(store)[away.prefix].state == ABSENT, LONG)
    wait_until(lambda: note_at(away.prefix), LONG)
    assert note_at(away.prefix)["version"] == "2.0.0"
    others = [board.prefix for board in flock if board is not away]
    wait_until(lambda: all(rows(store)[one].state == DONE for one in others), LONG)
    control.pause(store, 1, "ben")
    wait_until(lambda: not note_at(away.prefix), LONG)
    away.device.power_on()
    wait_until(lambda: rows(store)[away.prefix].state == WAITING, LONG)
    assert store.rollout(1).state == PAUSED
    control.resume(store, 1, "ben")
    out, err = second.communicate(timeout=LONG)
    assert second.returncode == 0, (out, err)
    end = json.loads(out.splitlines()[-1])
    assert (end["event"], end["state"], end["counts"]) == ("end", "finished", {"done": 3})
    for board in flock:
        status = board.wait_confirmed()
        assert (status["image"], status["version"]) == (new.sha256, "2.0.0")
    # Nobody was sent to in vain.
    assert {board["attempts"] for board in end["boards"]} == {0}
    assert not note_at(away.prefix)
