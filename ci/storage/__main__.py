"""Attacks the filesystem of firmware that is built: see the package."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from ci.storage import Bench
from mqhost.build.board import find


def main(app: str, flash: str, cases: str = "1000", first: str = "0") -> int:
    """Print what came of it, and return the exit code."""
    board = find("sim")
    table = board.table
    with TemporaryDirectory() as folder:
        count = Bench(Path(folder), Path(app), Path(flash), table).attack(int(cases), int(first))
    print(f"{count.cases:,} cases, {count.boots:,} boots:", dict(count.found))
    for line in count.stuck:
        print(line)
    return bool(count.stuck)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
