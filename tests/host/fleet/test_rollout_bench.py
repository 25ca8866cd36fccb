"""Tests the figure that counts what kill -9 of drivers loses: a short run, and what it finds."""

from dataclasses import replace

import pytest
from rolloutparts import fleet, options

from ci.bench.fleet import kill9
from ci.bench.rig import Rig
from mqhost.fleet.rollout import control
from mqhost.fleet.rollout.look import moved
from mqhost.fleet.rollout.plan import make_plan
from mqhost.fleet.rollout.states import DONE, FAILED
from mqhost.fleet.store.store import Store
from mqhost.progress import silent


@pytest.fixture
def rig():
    with Rig(True, silent) as running:
        yield running


def test_drivers_are_killed_and_every_board_has_its_image_once(rig, tmp_path):
    count = kill9.killed(rig, str(tmp_path / "fleet.db"), kills=2, boards=4)
    assert count.kills == 2 and count.rollouts >= 1 and count.lost == []


def test_a_board_that_was_forgotten_or_runs_another_image_is_found(tmp_path, monkeypatch):
    offer = kill9._write_image(tmp_path / "image", kill9.random.Random(1), 1)
    image = (offer, (tmp_path / "image" / "app.bin").read_bytes())
    boards = fleet(3, board="esp32")
    plan = make_plan(boards, [offer], options())
    good = {board.prefix: {"image": offer.sha256, "slot_state": "valid"} for board in boards}
    monkeypatch.setattr(kill9, "_roll", lambda settings: good)
    with Store(str(tmp_path / "fleet.db")) as store:
        number = control.start(store, plan, [image], options(), broker="b", who="anna")

        def end(*states):
            def edit(rollout, rows, now):
                return rollout, [
                    moved(row, state, now, "why") for row, state in zip(rows, states, strict=True)
                ]

            store.change(number, "test", "test", edit)

        end(DONE, DONE, DONE)
        assert kill9._missing(store, number, None, offer, 3) == []
        assert kill9._missing(store, number, None, offer, 4) == ["rollout 1 has 3 boards of 4"]
        assert len(kill9._missing(store, number, None, replace(offer, sha256="x"), 3)) == 3
        end(DONE, FAILED, DONE)
        (wrong,) = kill9._missing(store, number, None, offer, 3)
        assert wrong.endswith("is failed: why")
        del good[boards[0].prefix]
        end(DONE, DONE, DONE)
        (wrong,) = kill9._missing(store, number, None, offer, 3)
        assert wrong == f"{boards[0].prefix} is not there"
