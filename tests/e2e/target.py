"""Runs a target of a bridge: ordinary MicroPython with mqlink.py at a wire, and nothing else."""

import json
import shutil
import subprocess
import threading

import standalone

from mqhost.paths import FROZEN


def prepare(alone):
    """Put the driver into the folder that `standalone.prepare` made."""
    for name in ("mqlink.py", "mqmanage.py"):
        shutil.copy(FROZEN / "bridge" / name, alone)
    return alone


class Target(standalone.Standalone):
    """The program at `terminal`, an end of a mqhost.sim.wire.Wire; `options` are of mqlink.Link."""

    def __init__(self, folder, terminal, heap="192k", **options):
        self.told = []
        self._news = threading.Condition()
        self._number = 0
        self._ended = False
        self._process = subprocess.Popen(
            [
                *(folder / "micropython", "-X", f"heapsize={heap}"),
                *(folder / "target.py", terminal, json.dumps(options)),
            ],
            env={"MICROPYPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait("ready")

    def __exit__(self, *_):
        self.kill()

    def run(self):
        """Have the link run, for ever."""
        self.start("await link.run()")
        return self
