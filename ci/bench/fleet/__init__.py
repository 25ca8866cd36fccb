"""Measures fleets: what becomes of a rollout whose driver is killed."""

from ci.bench import Figure
from ci.bench.fleet import kill9
from ci.bench.rig import Rig


def measure(rig: Rig) -> dict[str, Figure]:
    """See the modules of this package."""
    return kill9.measure(rig)
