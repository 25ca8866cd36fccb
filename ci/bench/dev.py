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
_PROJECT = '[project]\nname = "bench"\nfrozen = ["app"]\n'


def measure(rig: Rig) -> dict[str, Figure]:
    """save_to_run_s: a module that is a file on a simulated board. frozen_save_to_run_s: one that
    a project freezes, so with a build, an update and a restart.
    """
    files, frozen = rig.folder / "dev", rig.folder / "dev-frozen" / "app"
    frozen.mkdir(parents=True)
    (frozen.parent / "mqboard.toml").write_text(_PROJECT)
    return {
        "save_to_run_s": _saves(rig, files, 5 if rig.quick else 15),
        "frozen_save_to_run_s": _saves(rig, frozen, 5),
    }


def _saves(rig: Rig, folder: Path, count: int) -> Figure:
    """Save a module in `folder` again and again."""
    folder.mkdir(exist_ok=True)
    module = folder / "pump.py"
    (folder / "app.toml").write_text("[modules.pump]\n")
    module.write_text(_MODULE % 0)
    process = subprocess.Popen(
        [Path(sys.executable).parent / "mqboard", "dev", "--sim", folder],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=rig.environment | {"XDG_STATE_HOME": str(rig.folder / "state")},
        text=True,
    )
    times = []
    try:
        _wait(process, "Change something")
        for number in range(1, count + 1):
            rig.progress(f"measuring dev: {folder.name}", number, count)
            temporary = folder / ".pump.py"  # as editors do, and so that it is there at once
            temporary.write_text(_MODULE % number)
            started = time.monotonic()
            os.replace(temporary, module)
            # What is said when all is done, confirmed where that must be, may come before the log.
            times.append(_wait(process, f"version {number} runs", "after ") - started)
    finally:
        process.terminate()
        process.communicate()
    return Figure(median(times), "s", len(times), aim=2.0)


def _wait(process: "subprocess.Popen[str]", *texts: str) -> float:
    """Read what it prints until each of `texts` was in a line; return when the first one was."""
    assert process.stdout
    read, seen = [], {}
    for line in process.stdout:
        read.append(line)
        seen |= {text: time.monotonic() for text in texts if text in line and text not in seen}
        if len(seen) == len(texts):
            return seen[texts[0]]
    raise ToolError(f"mqboard dev has ended before it said {texts}:\n{''.join(read)}")
