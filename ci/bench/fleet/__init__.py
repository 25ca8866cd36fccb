"""Measures fleets: what becomes of a rollout whose driver is killed, or a node of its brokers; how
long somebody waits for the page; what one broadcast to many boards costs, and what boards cost.
"""

from ci.bench import Figure
from ci.bench.fleet import broadcast, cluster, kill9, page, scale
from ci.bench.rig import Rig

_MODULES = (page, broadcast, kill9, scale, cluster)


def measure(rig: Rig) -> dict[str, Figure]:
    """See the modules of this package."""
    figures: dict[str, Figure] = {}
    for module in _MODULES:
        figures |= module.measure(rig)
    return figures
