"""Measures how long it takes from nothing to firmware of one's own that was updated over MQTT.

All by the commands that people type: a new project, its firmware, a simulated board, a change, and
the update with it. The caches are warm, as after a first build of anything.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ci.bench import Figure, median
from ci.bench.rig import Rig
from mqhost.errors import ToolError
from mqhost.link.session import Session
from mqhost.link.settings import Settings

_NAME = "greenhouse"
_PREFIX = "bench/new"
_MQBOARD = Path(sys.executable).parent / "mqboard"
_BOOT_SECONDS = 60.0


def measure(rig: Rig) -> dict[str, Figure]:
    """first_update_s: from `mqboard new` to the confirmed update of a simulated board to a version
    with a change in the application, which is frozen into the firmware.
    """
    rig.firmware()
    samples = []
    for number in range(1 if rig.quick else 3):
        rig.progress("measuring new: from a new project to a confirmed update", number, 0)
        place = rig.folder / f"new-{number}"
        place.mkdir()
        samples.append(_first_update(rig, place, f"{_PREFIX}{number}"))
    return {"first_update_s": Figure(median(samples), "s", len(samples), aim=60)}


def _first_update(rig: Rig, place: Path, prefix: str) -> float:
    """Return the seconds that it takes in the empty folder `place`."""
    environment = {key: value for key, value in rig.environment.items() if "MQBOARD_" not in key}
    environment |= {key: value for key, value in os.environ.items() if key == "MQBOARD_CACHE"}
    environment |= {"MQBOARD_SERVER": rig.broker.host, "MQBOARD_PORT": str(rig.broker.port)}
    environment |= {"MQBOARD_PREFIX": prefix}
    root = place / _NAME
    started = time.monotonic()
    _run(environment, place, "new", _NAME)
    _run(environment, root, "build", "--frozen", "app", "--version", "1.0")
    with _board(environment, root, rig, prefix):
        module = root / "app" / f"{_NAME}.py"
        module.write_text(module.read_text().replace(" from ", " again from "))
        _run(environment, root, "build", "--frozen", "app", "--version", "1.1")
        _run(environment, root, "ota")
        return time.monotonic() - started


@contextlib.contextmanager
def _board(environment: dict[str, str], root: Path, rig: Rig, prefix: str) -> Iterator[None]:
    """Run the project's simulated board, online, while the block runs."""
    process = subprocess.Popen(
        [_MQBOARD, "sim"],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        at = Settings(server=rig.broker.host, port=rig.broker.port, tls=False, prefix=prefix)
        with Session(at) as session:
            if not session.wait_status(lambda found: found["state"] == "online", _BOOT_SECONDS):
                raise ToolError(f"mqboard sim in {root} did not come online.")
        yield
    finally:
        process.terminate()
        process.wait()


def _run(environment: dict[str, str], folder: Path, *words: str) -> None:
    result = subprocess.run(
        [_MQBOARD, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    if result.returncode:
        raise ToolError(f"mqboard {' '.join(words)} failed:\n{result.stdout}{result.stderr}")
