"""Cuts the power at every flash operation of files that are put, on MicroPython and its LittleFS.

    firmware -> the agent, once for each story -> how many cuts there were, and what was lost

agent.py has the stories and what must hold after each cut.
"""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from ci.bench.raw import extract
from mqhost.progress import Progress, silent

STORIES = ("replace", "small", "empty", "new", "resume", "long")
_AGENT = Path(__file__).with_name("agent.py")
_HEAP = "16m"
_TIMEOUT = 600.0
_MOST = 320  # cuts of one story; only of the longest these are fewer than all


@dataclass
class Count:
    """How many cuts were made, and a sentence for each after which a file was neither old nor new,
    or the put did not come to its end."""

    cuts: int = 0
    lost: list[str] = field(default_factory=list)


def sweep(
    app: Path,
    folder: Path,
    cuts: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Count:
    """Cut the power at every flash operation of every story, by the firmware in `app` (of the
    longest at some, by chance); with `cuts` at so many of each. `folder` is for the program.
    """
    count = Count()
    program = extract(app, folder)
    for done, story in enumerate(STORIES):
        progress("cutting power while files are put", done, len(STORIES))
        told = run(program, story, seed, cuts or _MOST)
        count.cuts += told["cuts"]
        count.lost += told["lost"]
    return count


def run(program: Path, story: str, seed: int, cuts: int) -> dict:
    """Tell one story; return what the agent says."""
    argv = [str(program), "-X", f"heapsize={_HEAP}", str(_AGENT), story, str(seed), str(cuts)]
    done = subprocess.run(
        argv, env={"MICROPYPATH": ".frozen"}, capture_output=True, text=True, timeout=_TIMEOUT
    )
    if done.returncode:
        return {"cuts": 0, "lost": [f"{story}: {done.stdout[-500:]}{done.stderr[-500:]}"]}
    return json.loads(done.stdout.splitlines()[-1])
