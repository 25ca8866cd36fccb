"""Makes chaos with firmware that is built: see the package."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from ci.chaos import Chaos
from ci.chaos.world import World
from mqhost.build.board import find


def main(app: str, flash: str, seconds: str = "90", seed: str = "0", *bad: str) -> int:
    """Print what came of it, and return the exit code."""
    board = find("sim")
    table = board.table
    images = [Path(path) for path in bad]
    with (
        TemporaryDirectory() as folder,
        World(Path(folder), Path(app), Path(flash), images, table, 10) as world,
    ):
        report = Chaos(world, int(seed)).run(float(seconds))
    print(*report.lines(), *report.lost, sep="\n")
    return bool(report.lost)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
