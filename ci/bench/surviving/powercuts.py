"""Counts how many power cuts the board survives, on the desk and with whole boots.

On the desk with small images, at every flash operation of several updates; and some with whole
boots. With `invoke bench --power-cuts all` the desk's images have a real size.
"""

import sys

from ci.bench import Figure
from ci.bench.rig import NEXT_VERSION, PREFIX, Rig
from ci.cuts.powercuts import Count, sweep
from ci.cuts.wholecuts import Bench
from mqhost.errors import UsageError
from mqhost.link.settings import Settings

_SMALL, _REAL = 8, 166  # blocks in an image; the sim's firmware has as many as the latter
_WHOLE, _WHOLE_QUICK, _WHOLE_ALL = 10, 3, 50


def measure(rig: Rig) -> dict[str, Figure]:
    """cuts: how often power was cut; whole_cuts: of these with whole boots of the simulated board.
    bricks: after how many of them the board did not do what it must; each is told on stderr.
    """
    wanted = _wanted(rig.power_cuts)
    whole = _WHOLE_QUICK if rig.quick else _WHOLE_ALL if rig.power_cuts else _WHOLE
    blocks = _REAL if rig.power_cuts else _SMALL
    desk = sweep(rig.folder, blocks, wanted, progress=rig.progress)
    real = _whole_boots(rig, whole)
    bricks = [*desk.bricks, *real.bricks]
    for brick in bricks:
        print(brick, file=sys.stderr)
    cuts = desk.cuts + real.cuts
    return {
        "cuts": Figure(cuts, "cuts", cuts),
        "whole_cuts": Figure(real.cuts, "cuts", real.cuts),
        "bricks": Figure(len(bricks), "bricks", cuts, aim=0, part=rig.quick),
    }


def _wanted(text: str | None) -> int | None:
    """Return how many cuts on the desk; None is all. Raises UsageError."""
    if text in (None, "all"):
        return None
    if not text.isdecimal():
        raise UsageError(f"--power-cuts {text}: give a number of cuts, or all.")
    return int(text)


def _whole_boots(rig: Rig, cuts: int) -> Count:
    old, new = rig.firmware(), rig.firmware(NEXT_VERSION)
    broker = rig.broker
    settings = Settings(
        server=broker.host, port=broker.port, tls=False, prefix=PREFIX + "/cuts", timeout=20
    )
    with Bench(rig.folder, old.flash, (old.app, new.app), settings, rig.table) as bench:
        return bench.run(cuts, progress=rig.progress)
