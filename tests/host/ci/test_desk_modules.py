"""Tests in which mode a board boots that modules took down, on the desk."""

import json

import pytest

from ci.cuts.configcuts import Change
from ci.cuts.powercuts import Image, settled
from ci.desk import CONFIG
from mqhost.sim.chip import ResetCause
from mqwire.config import MAX_KEPT


@pytest.fixture
def desk(desk):
    """Give it firmware, modules, and no boot that becomes healthy."""
    desk.flash.program(desk.table.slots[0].offset, Image.make(desk, "1.0", b"x" * 4096).app)
    desk.configure(CONFIG | {"modules": {"bad": {}, "worse": {}}})
    desk.healthy = False
    return desk


def boot(desk, culprit, wanted=""):
    """Boot, and hang in `culprit`; return the mode of that boot."""
    modes = []

    async def hang(life):
        modes.append(life.board.identity.mode)
        life.board.blackbox.want(wanted)
        life.board.blackbox.run(culprit)

    assert not desk.run(hang)
    desk.cause = ResetCause.WDT
    assert desk.faults == []
    return modes[0]


def crashes(desk):
    """Return what NVS says of modules."""
    kept = []

    async def look(life):
        from esp32 import NVS

        from mqboard.health.bootrecord import NAMESPACE, Store

        kept.append(Store(NVS(NAMESPACE)).get("modules", MAX_KEPT))

    desk.run(look)
    return json.loads(kept[0] or "{}")


def test_without_the_module_to_blame_the_board_goes_on_in_normal_mode(desk):
    assert [boot(desk, "module bad") for _ in range(4)] == ["normal"] * 4
    assert "normal mode: that module is disabled now" in desk.console.getvalue()
    assert crashes(desk) == {"bad": 3}


def test_two_that_take_turns_end_in_safe_mode_before_either_is_disabled(desk):
    culprits = ["module bad", "module worse", "module bad", ""]
    assert [boot(desk, culprit) for culprit in culprits][3] == "safe"
    assert crashes(desk) == {"bad": 2, "worse": 1}


def test_what_is_no_module_ends_in_safe_mode(desk):
    assert [boot(desk, culprit) for culprit in ("eval a", "task mqtt", "", "")][3] == "safe"
    assert crashes(desk) == {}


def test_safe_mode_that_a_person_wants_stays(desk):
    modes = [boot(desk, "module bad", "safe") for _ in range(4)]
    assert modes == ["normal", "safe", "safe", "safe"]


def test_a_module_that_hangs_with_a_configuration_on_trial_is_not_blamed(desk):
    desk.healthy = True
    desk.run(settled)
    for level in ("debug", "warning", "error"):
        new = CONFIG | {"modules": {"bad": {}}, "log": {"level": level}}
        assert desk.run(Change("push", json.dumps(new)))
        desk.connected = False
        boot(desk, "module bad")
        desk.connected = True
        desk.run(settled)
        assert desk.life.board.identity.config["state"] == "failed"
        assert desk.life.board.culprit == "module bad"
    assert crashes(desk) == {}
    boot(desk, "module bad")
    assert crashes(desk) == {"bad": 1}


def test_a_module_that_hangs_with_another_image_is_not_blamed(desk):
    boot(desk, "module bad")
    slot = desk.table.slots[0]
    desk.flash.erase(slot.offset, slot.size)
    desk.flash.program(slot.offset, Image.make(desk, "2.0", b"y" * 4096).app)
    assert crashes(desk) == {}
