"""Says what `doctor` says: what this machine has and lacks, and what each thing is needed for.

It needs no extra of its own, so that it can tell which are missing.
"""

import sys

from rich.text import Text

from mqhost import packages
from mqhost.build.sources.source import DEBIAN
from mqhost.cli.terminal.tables import Listing
from mqhost.extras import EXTRAS, command, installed
from mqhost.paths import cache_dir

_EXTRAS = {
    "build": "building firmware, flashing it, the simulated board",
    "fleet": "rollouts, the server and its page",
    "testing": "tests of an application on simulated boards",
    "dev": "mqboard dev",
}


def doctor_listing() -> Listing:
    """List what this machine has and lacks, and what each thing is needed for."""
    python = ".".join(map(str, sys.version_info[:3]))
    things = [(f"Python {python}", True, "", "everything; 3.11 or newer")]
    for extra in EXTRAS:
        things.append((f"mqboard[{extra}]", installed(extra), "missing", _EXTRAS[extra]))
    for package in packages.PACKAGES:
        things.append((package.name, package.present, "missing", package.reason))
    use = "building in a container, as for the ESP32 boards"
    things.append(("Docker engine", _engine_answers(), "none answers", use))
    for release in DEBIAN:
        fetched = (cache_dir() / "source" / f"micropython-{release}").is_dir()
        use = "the simulated board's firmware"
        things.append((f"MicroPython {release}", fetched, "downloaded by the first build", use))
    rows = [
        (name, Text("yes", "green") if there else Text(word, "red" * (word == "missing")), use)
        for name, there, word, use in things
    ]
    record = [{"name": name, "there": there, "needed_for": use} for name, there, _, use in things]
    return Listing(("what", "there?", "needed for"), (rows,), record, prose={1, 2})


def doctor_advice() -> str:
    """Say what comes after the table: nothing is missing, or the commands that get what is."""
    told = []
    if lacking := packages.missing():
        install = packages.install_command(lacking)
        told.append(f"As root, what is missing is installed when it is needed, or now: {install}")
    if extras := [extra for extra in EXTRAS if not installed(extra)]:
        told.append(f"What is missing of mqboard itself: {command(','.join(extras))}")
    return "\n".join(told) or "Nothing is missing."


def _engine_answers() -> bool:
    """Return whether there is a container engine that lets us use it."""
    if not installed("build"):
        return False
    # Slow to load: only where it is wanted.
    from mqhost.build.builders.docker_engine import EngineError, connect

    try:
        connect().close()
    except EngineError:
        return False
    return True
