"""Cuts power at every flash operation of an update: on the desk all, with whole boots some."""

import pytest

from ci.cuts import powercuts
from ci.cuts.powercuts import Cut, Story, Sweep
from ci.cuts.wholecuts import Bench
from mqhost.flash.espimage import ImageInfo
from mqhost.link.settings import Settings
from mqhost.sim import bootloader
from mqhost.sim.bootloader import Bootloader
from mqwire.flash import ABORTED, VALID


@pytest.fixture
def told(desk) -> dict[str, Story]:
    return {story.name: story for story in powercuts.stories(desk, 8)}


def test_no_cut_bricks_a_board(tmp_path):
    count = powercuts.sweep(tmp_path)
    assert count.cuts > 500
    assert not count.bricks, "\n".join(count.bricks)


def test_no_cut_with_a_whole_boot_bricks_a_board(tmp_path, sim, firmware, variant, broker):
    new = variant("2.0.0")
    settings = Settings(
        server=broker.host, port=broker.port, tls=False, prefix="e2e/cuts", timeout=10
    )
    table = sim.table
    with Bench(tmp_path, firmware.flash, (firmware.app, new.app), settings, table) as bench:
        count = bench.run(6, seed=int(firmware.sha256[:8], 16))
    assert count.cuts == 6
    assert not count.bricks, "\n".join(count.bricks)


def test_the_stories_are_what_they_are_called(desk, told):
    erases = {}
    for name, story in told.items():
        before = desk.flash.counters.erases
        Sweep(desk).length(story)
        erases[name] = desk.flash.counters.erases - before
        states = [record.state for record in desk.chip.bootloader.records()]
        assert sorted(states) == ([VALID, ABORTED] if story.fails else [VALID, VALID])
    # Otadata: three records, and that of a new board's first boot. What is blank is not erased.
    assert 4 < erases["a full update"] == erases["a delta update"]
    assert erases["an update that compacts NVS"] > erases["a delta update"]


# A check that cannot fail is a defect: worlds that are broken on purpose.


def bricks(desk, story: Story) -> list[str]:
    sweep = Sweep(desk)
    for at in range(3):
        sweep.cut(story, Cut(at, 0.5))
    return sweep.count.bricks


def test_a_board_that_forgets_to_confirm_is_found_out(desk, told, monkeypatch):
    monkeypatch.setattr(Bootloader, "mark_valid", lambda self: None)
    assert len(bricks(desk, told["a delta update"])) == 3


def spoil(desk, monkeypatch):
    """Make every loss of power damage the image that runs."""
    lose = desk.flash._lose_power

    def lose_more():
        desk.flash._map[desk.table.slots[1].offset + 500] ^= 0x40
        lose()

    monkeypatch.setattr(desk.flash, "_lose_power", lose_more)


def test_a_board_that_does_not_boot_is_found_out(desk, told, monkeypatch):
    spoil(desk, monkeypatch)
    found = bricks(desk, told["a full update"])
    assert len(found) == 3 and "damaged" in found[0]


def test_a_board_that_boots_wrong_bytes_is_found_out(desk, told, monkeypatch):
    spoil(desk, monkeypatch)
    trusting = ImageInfo(size=29_008, chip_id=0, digest="", version="2.0", project="")
    monkeypatch.setattr(bootloader, "verify", lambda *_: trusting)
    found = bricks(desk, told["a full update"])
    assert len(found) == 3 and "nobody offered" in found[0]
