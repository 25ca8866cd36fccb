"""Measures how many damaged filesystems a board boots from, and that it gets stuck with none."""

import sys

from ci.bench import Figure
from ci.bench.rig import Rig
from ci.storage import Bench
from ci.storage.whole import boot_whole

_CASES, _CASES_QUICK = 2_000, 200
_WHOLE, _WHOLE_QUICK = 10, 2


def measure(rig: Rig) -> dict[str, Figure]:
    """fuzz_cases: how many filesystems were damaged, each in another way, and booted from; a few of
    them in whole boots of a board. stuck: with how many of them it did not come up, or did not say
    in its birth message what had happened; each is told on stderr.
    made_anew, damaged: how many it said it had to make anew, or had found damaged.
    """
    cases, boots = (_CASES_QUICK, _WHOLE_QUICK) if rig.quick else (_CASES, _WHOLE)
    firmware = rig.firmware()
    bench = Bench(rig.folder, firmware.app, firmware.flash, rig.table)
    part = bench.attack(cases, progress=rig.progress)
    whole = boot_whole(
        rig.folder, firmware.flash, rig.settings, rig.table, boots, progress=rig.progress
    )
    stuck = part.stuck + whole.stuck
    for text in stuck:
        print(text, file=sys.stderr)
    count = part.cases + whole.cases
    found = part.found + whole.found
    return {
        "fuzz_cases": Figure(count, "cases", count, aim=200, at_least=True),
        "stuck": Figure(len(stuck), "cases", count, aim=0),
        "made_anew": Figure(found["made anew"], "cases", count),
        "damaged": Figure(found["damaged"], "cases", count),
    }
