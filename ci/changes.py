"""Tells which boards CI builds: those that a change touches, or all of them.

    python3 -m ci.changes [--base COMMIT]  →  [{"board": "esp32", "toolchain": "espressif/idf:…"}]

Prints JSON for the workflow's matrix: the boards with a toolchain image of their own (the simulated
board is built by the tests). Without a base commit, or when git does not know it, these are all
boards; and a file that is not known to concern some boards only concerns all of them.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import PurePosixPath

from mqhost.build.board import Board, boards
from mqhost.paths import BOARDS, ROOT

# What is in no firmware image and takes no part in making one.
_BESIDE = ("docs", "tests", ".ci", "ci/bench", "host/mqhost/sim")


def concerned(paths: Iterable[str], known: Iterable[Board]) -> list[Board]:
    """Return the boards of `known` whose firmware can differ when the files `paths` change."""
    known, names = list(known), set[str]()
    for path in paths:
        names |= _boards_of(PurePosixPath(path), known)
    return [board for board in known if board.name in names]


def changed_files(base: str) -> list[str] | None:
    """Return the files, from the project's root, that differ since this branch left `base`; None if
    git cannot tell.
    """
    argv = ["git", "-C", str(ROOT), "diff", "--name-only", "-z", "--no-renames", f"{base}...HEAD"]
    result = subprocess.run(argv, capture_output=True, text=True)
    if result.returncode:
        print(f"git cannot compare with {base}: {result.stderr.strip()}", file=sys.stderr)
        return None
    return [path for path in result.stdout.split("\0") if path]


def matrix(base: str = "") -> list[dict[str, str]]:
    """Return the rows of the workflow's matrix."""
    known = [board for board in boards() if board.toolchain]
    paths = changed_files(base) if base else None
    if paths is not None:
        known = concerned(paths, known)
    return [{"board": board.name, "toolchain": board.toolchain} for board in known]


def _boards_of(path: PurePosixPath, known: list[Board]) -> set[str]:
    everyone = {board.name for board in known}
    if path.suffix == ".md" or path.name == "LICENSE":
        return set()
    if any(path.is_relative_to(folder) for folder in _BESIDE):
        return set()
    if path.parts[0] == "boards" and len(path.parts) > 2:
        folder = path.parts[1]
        if (BOARDS / folder / "board.toml").is_file():
            return {board.name for board in known if BOARDS / folder in board.folders}
    if path.parts[0] == "manifest":
        users = {board.name for board in known if board.manifest == ROOT / path}
        return users or everyone  # a manifest that others include
    return everyone


def main() -> None:
    """Print the matrix."""
    parser = argparse.ArgumentParser(description="Print the boards that a change touches.")
    parser.add_argument("--base", default="", help="the commit to compare with")
    print(json.dumps(matrix(parser.parse_args().base)))


if __name__ == "__main__":
    main()
