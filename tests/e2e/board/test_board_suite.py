"""Runs the tests of tests/board once more: on a simulated board, with its frozen modules.

The modules of a folder lie on the board's filesystem; a firmware whose main.py runs one prints the
count.
"""

import re
from pathlib import Path

import pytest

FROZEN = Path(__file__).resolve().parents[3] / "frozen"
SUITE = Path(__file__).resolve().parents[2] / "board"
MODULES = {path.stem: path for path in sorted(SUITE.rglob("test_*.py"))}
MAIN = """
import sys
import machine
machine.WDT(timeout=600_000)
sys.path.append("/suite")
import run
run.main(open("/modules").read().split())
"""
# Frozen only where a manifest says so (manifest/mqtt5.py).
MQTT5 = {
    path.relative_to(FROZEN).as_posix(): path.read_text()
    for path in (FROZEN / "mqboard" / "mqtt5").glob("*.py")
}


@pytest.mark.parametrize("module", MODULES)
def test_module_passes_on_the_board(make_board, variant, module):
    sources = [path for path in SUITE.glob("*.py") if path.stem not in MODULES]
    sources += [*MODULES[module].parent.glob("test_*.py"), SUITE / "micropython" / "unittest.py"]
    files = {f"/suite/{path.name}": path.read_bytes() for path in sources}
    image = variant("suite", {"main.py": MAIN} | MQTT5)
    board = make_board(image, files=files | {"/modules": module.encode()}, heap="4m")
    board.device.wait_console(" failed.", timeout=120)
    counts = re.search(r"(\d+) passed, (\d+) failed\.", board.device.console.text())
    assert counts and int(counts[1]) > 0 and int(counts[2]) == 0, board.device.console.text()
