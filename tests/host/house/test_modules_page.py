"""Tests what docs/modules.md says where no board is needed: its desk test, its tables."""

import re
import subprocess
import sys

from mqhost.paths import FROZEN, ROOT

PAGE = (ROOT / "docs" / "modules.md").read_text()
BLINKY, DESK = re.findall(r"```python\n((?:\"\"\"Blinks|import asyncio\n).*?)```", PAGE, re.S)


def test_the_test_on_the_desk_passes(tmp_path):
    (tmp_path / "blinky.py").write_text(BLINKY)
    (tmp_path / "desk.py").write_text(DESK)
    run = [sys.executable, "desk.py"]
    process = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert process.returncode == 0, process.stderr
    assert "not a period: b'forty'" in process.stderr and "40 ms" in process.stderr


def test_it_has_every_module_of_ours_and_every_state():
    runner = (FROZEN / "mqboard" / "modules" / "runner.py").read_text()
    states = runner[runner.index("def state(") : runner.index("class Modules")]
    ours = re.findall(r'"(\w+)"', re.search(r"_OURS = \((.*)\)", runner)[1])
    words = re.findall(r'(?:return|else|if self\.\w+ else) "(\w+)"', states)
    assert ours and len(set(words)) >= 5
    for word in [*ours, *words]:
        assert f"| `{word}` |" in PAGE, word
