"""Measures `mqboard dev`: from saving a file to the first line that its new code logs."""

import os
import subprocess
import sys
import time
from pathlib import Path

from ci.bench import Figure, median
from ci.bench.rig import Rig
from mqhost.errors import ToolError

_MODULE = """import asyncio


async def start(board, settings):
    print("version %d runs")
    await asyncio.sleep(3600)
"""


def measure(rig: Rig) -> dict[str, Figure]:
    """Save a module again and again, on a simulated board."""
    folder = rig.folder / "dev"
    folder.mkdir()
    module = folder / "pump.py"
    (folder / "app.toml").write_text("[modules.pump]\n")
    module.write_text(_MODULE % 0)
    process = subprocess.Popen(
        [Path(sys.executable).parent / "mqboard", "dev", "--sim", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=rig.environment | {"XDG_STATE_HOME": str(rig.folder / "state")},
        text=True,
    )
    try:
        _wait(process, "Change something")
        times = []
        for number in range(1, (6 if rig.quick else 16)):
            temporary = folder / ".pump.py"  # as editors do, and so that it is there at once
            temporary.write_text(_MODULE % number)
            started = time.monotonic()
            os.replace(temporary, module)
            _wait(process, f"version {number} runs")
            times.append(time.monotonic() - started)
    finally:
        process.terminate()
        process.communicate()
    return {"save_to_run_s": Figure(median(times), "s", len(times), aim=2.0)}


def _wait(process: "subprocess.Popen[str]", text: str) -> None:
    """Read what it prints until `text` is in a line."""
    assert process.stdout
    read = []
    for line in process.stdout:
        read.append(line)
        if text in line:
            return
    raise ToolError(f"mqboard dev has ended before it said {text!r}:\n{''.join(read)}")
