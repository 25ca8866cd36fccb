"""Measures how long the command line takes to start: what a person waits for at every command."""

import subprocess
import sys
import time
from pathlib import Path

from ci.bench import Figure, median
from ci.bench.rig import Rig

_MQBOARD = Path(sys.executable).with_name("mqboard")


def measure(rig: Rig) -> dict[str, Figure]:
    """start_ms: `mqboard --help`, from its start to its end. The limit is a Python that imports
    click and ends, measured in turns.
    """
    runs = 5 if rig.quick else 20
    lines = [_MQBOARD, "--help"], [sys.executable, "-c", "import click"]
    for line in lines:
        _milliseconds(line, rig.environment)  # compiles it
    samples, limits = [], []
    for _ in range(runs):
        samples.append(_milliseconds(lines[0], rig.environment))
        limits.append(_milliseconds(lines[1], rig.environment))
    return {"start_ms": Figure(median(samples), "ms", runs, median(limits), aim=300)}


def _milliseconds(line: list, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env=environment)
    return (time.perf_counter() - started) * 1000
