"""Measures how many transport faults the update receiver stands, each followed by a good update."""

import sys

from ci.bench import Figure
from ci.bench.rig import Rig
from ci.cuts.faults import attack

_CASES, _CASES_QUICK = 10_000, 500


def measure(rig: Rig) -> dict[str, Figure]:
    """cases: how often a board on the desk was attacked, and then updated; wrong: after how many of
    them it had done what it must not do; each is told on stderr.
    """
    cases = _CASES_QUICK if rig.quick else _CASES
    faults = attack(rig.folder, cases, progress=rig.progress)
    for text in faults.wrong:
        print(text, file=sys.stderr)
    return {
        "cases": Figure(faults.cases, "cases", faults.cases),
        "wrong": Figure(len(faults.wrong), "cases", faults.cases, aim=0, part=rig.quick),
    }
