"""Counts how many power cuts in a change of its configuration a board survives, on the desk."""

from ci.bench import Figure
from ci.bench.rig import Rig
from ci.bench.surviving import counted
from ci.cuts.configcuts import sweep

_QUICK = 250


def measure(rig: Rig) -> dict[str, Figure]:
    """cuts: how often power was cut, at every flash operation of several changes. lost: after how
    many of them the board did not come up with the old or the new configuration and reach its
    broker, or did not take the next; each is told on stderr.
    """
    count = sweep(rig.folder, _QUICK if rig.quick else None, progress=rig.progress)
    return counted(count, rig.quick)
