"""Measures what boards stand, all at once, and how soon they are back; see ci/chaos."""

import sys

from ci.bench import Figure, median
from ci.bench.mqtt.lab import Lab
from ci.bench.rig import Rig
from ci.chaos import Chaos
from ci.chaos.spread import busiest, histogram, reconnects
from ci.chaos.world import World, deaf_modules

_BOARDS = 10
_SECONDS, _SECONDS_QUICK = 600, 30
_SEED = 11
_HERD = 100
_OUTAGE_SECONDS = 5.0


def measure(rig: Rig) -> dict[str, Figure]:
    """faults: how often something was broken around ten boards, or in one, within ten minutes.
    lost: how many of them did not come back, or not as they must be; each is told on stderr.
    recover_p95_s: from a broker that is back to a board that is. longest_s: the longest time that
    any fault took.
    herd_…: when a hundred clients are back after a broker that was away for 5 s; busiest: the most
    of them in any tenth of a second.
    """
    seconds = _SECONDS_QUICK if rig.quick else _SECONDS
    firmware = rig.firmware()
    bad = [rig.variant("bench.deaf", deaf_modules()).app]
    with World(rig.folder, firmware.app, firmware.flash, bad, rig.table, _BOARDS) as world:
        report = Chaos(world, _SEED).run(seconds, rig.progress)
    print(*report.lines(), *report.lost, sep="\n", file=sys.stderr)
    with Lab(rig) as lab:
        herd = reconnects(lab, _HERD, _OUTAGE_SECONDS)
    print(*histogram(herd, 0.2), sep="\n", file=sys.stderr)
    return {
        "faults": Figure(report.faults, "faults", 1),
        "lost": Figure(len(report.lost), "boards", report.faults, aim=0, part=rig.quick),
        "recover_p95_s": Figure(report.recover(95), "s", len(report.restarts), aim=10),
        "longest_s": Figure(round(report.longest[0], 1), "s", report.faults),
        "herd_median_s": Figure(median(herd), "s", _HERD),
        "herd_last_s": Figure(round(herd[-1], 3), "s", _HERD),
        "herd_busiest": Figure(busiest(herd, 0.1), "in 0.1 s", _HERD, aim=25),
    }
