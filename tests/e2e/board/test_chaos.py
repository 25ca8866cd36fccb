"""Breaks everything around ten real boards for a while, and looks whether all of them come back."""

from ci.chaos import FAULTS, Chaos
from ci.chaos.world import World, deaf_modules

SECONDS = 50  # of the ten minutes of invoke bench; then what goes on comes to its end
BOARDS = 10


def test_whatever_is_broken_at_once_all_boards_come_back(tmp_path, sim, firmware, variant):
    deaf = variant("deaf", deaf_modules())
    table = sim.table
    with World(tmp_path, firmware.app, firmware.flash, [deaf.app], table, BOARDS) as world:
        report = Chaos(world, seed=11).run(SECONDS)
    told = "\n".join([*report.lines(), *report.lost])
    assert not report.lost, told
    # A busy machine has time for fewer.
    assert report.faults > 20 and len(report.restarts) > 3, told
    assert len(FAULTS.keys() & report.count.keys()) > len(FAULTS) / 2, told
    assert report.recover(95) < 10, told
