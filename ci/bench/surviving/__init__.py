"""Counts what boards survive: power cuts, wrong messages, damage to flash, long work, chaos."""

import sys

from ci.bench import Figure
from ci.cuts.powercuts import Count


def counted(count: Count, quick: bool) -> dict[str, Figure]:
    """Return the figures of a sweep of power cuts on the desk; tell on stderr what was lost."""
    for brick in count.bricks:
        print(brick, file=sys.stderr)
    return {
        "cuts": Figure(count.cuts, "cuts", count.cuts, aim=200, at_least=True),
        "lost": Figure(len(count.bricks), "lost", count.cuts, aim=0, part=quick),
    }
