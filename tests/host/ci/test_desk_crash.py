"""Tests records of crashes on the desk: power that goes while one is made, and no room for it."""

import random

import pytest

from ci.cuts.powercuts import Image
from ci.desk import CONFIG
from mqhost.sim.chip import ResetCause


@pytest.fixture
def desk(desk):
    """Give it firmware that has booted."""
    desk.flash.program(desk.table.slots[0].offset, Image.make(desk, "1.0", b"x" * 4096).app)
    desk.configure(CONFIG)
    records(desk)
    return desk


def hang(desk, what):
    """Boot, and hang in `what`, which the boot after it will know."""

    async def script(life):
        life.board.blackbox.run(what)

    assert not desk.run(script)
    desk.cause = ResetCause.WDT


def records(desk):
    """Boot; return the records that this boot finds, or makes. None: power went."""
    found = []

    async def look(life):
        kept = life.board.crash_records()
        found.extend(kept.read(number) for number in kept.numbers())
        assert life.board.identity.crashes == len(found)

    desk.run(look)
    assert desk.faults == []
    desk.cause = ResetCause.SOFT
    return None if desk.end else found


def running(desk):
    """Boot; return what ran in the boots that have records."""
    return [record["running"] for record in records(desk) or ()]


@pytest.mark.parametrize("known", [0, 5])
def test_power_may_go_at_any_moment_while_a_record_is_made(desk, known):
    names = [f"module m{number}" for number in range(known)]
    for name in names:
        hang(desk, name)
        records(desk)
    hang(desk, "module new")
    flash, memory = desk.flash.snapshot(), desk.chip.rtc_memory
    desk.flash.noise = random.Random(known)
    cuts = 0
    while True:
        desk.flash.restore(flash)
        desk.chip.rtc_memory, desk.cause = memory, ResetCause.WDT
        desk.flash.cut_power_after(cuts)
        if records(desk) is not None:
            break
        cuts += 1
        desk.power_on()
        found = running(desk)
        assert found in (names, [*names, "module new"], [*names[1:], "module new"])
        hang(desk, "module next")
        assert running(desk) == [*found, "module next"][-5:]
    assert cuts >= 5


def test_a_full_filesystem_leaves_the_last_record_in_nvs(desk):
    for size in (65536, 4096):
        with pytest.raises(OSError):  # noqa: B017, PT012
            for number in range(10_000):
                with desk.files.open(f"/full{size}.{number}", "w") as file:
                    file.write("x" * size)
    for name in ("module a", "module b"):
        hang(desk, name)
        assert running(desk) == [name]
    desk.power_on()
    assert running(desk) == ["module b"]


def test_a_boot_that_dies_of_the_records_is_not_followed_by_another(desk):
    hang(desk, "looking for records of crashes")
    assert records(desk) == []
    assert "it ran: looking for records" in desk.console.getvalue()
    hang(desk, "module a")
    assert running(desk) == ["module a"]
