"""Runs a server as a process of its own, whose output goes into a file, until it is stopped."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mqhost.errors import ToolError
from mqhost.sim.broker import ending_with_us

_STOP_S = 20.0
_TAIL = 2000  # characters


class Process:
    """One server: `argv` with `environment` in `folder`; `log` is what it says."""

    def __init__(
        self, argv: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = folder / "output.log"
        with self.log.open("ab") as output:
            # A group of its own: it may start others, which have to end with it.
            self._process = subprocess.Popen(
                [*ending_with_us(), *argv],
                cwd=folder,
                env=os.environ | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process, which leads its group."""
        return self._process.pid

    def wait(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready()`; ToolError with the end of its output if it ends or takes longer."""
        deadline = time.monotonic() + seconds
        while not ready():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                what = "ended" if ended else f"is not ready within {seconds:g} s"
                text = self.log.read_text(errors="replace")[-_TAIL:]
                raise ToolError(f"{self._process.args!r:.80} {what}:\n{text}")
            time.sleep(0.05)

    def stop(self, hard: bool = False) -> None:
        """End it and all that it has started, hard or as it likes to be ended."""
        with contextlib.suppress(ProcessLookupError):
            if not hard:
                os.kill(self.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_STOP_S)
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def find(program: str, package: str, *places: str) -> str:
    """Return where `program` is; ToolError that names Debian's package if it is nowhere."""
    path = os.pathsep.join([*places, os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which(program, path=path)
    if not found:
        raise ToolError(f"{program} is not installed. On Debian: apt-get install {package}")
    return found
