"""Who carries out a plan: the native builder runs it on this machine.

Everything the programs say goes into a log file as it comes; the progress callback hears how many
files are compiled; a failure is a BuildError with the last lines and the log's path.
"""

import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TextIO

from mqhost.errors import BuildError, UsageError
from mqhost.plan import Plan
from mqhost.progress import Progress, silent

_TAIL_LINES = 15
_INHERITED = ("PATH", "HOME", "TMPDIR")
_COMPILES = re.compile(r'^(?:echo ")?CC ', re.MULTILINE)


class Builder(Protocol):
    """Carries out plans."""

    name: str

    def run(self, plan: Plan, log: Path, progress: Progress = silent) -> None:
        """Run the plan's steps, writing what they say to `log`; BuildError if one fails."""


def choose_builder(name: str | None = None) -> Builder:
    """The builder of that name; by default the native one."""
    if name in (None, NativeBuilder.name):
        return NativeBuilder()
    if name == "docker":
        raise UsageError(
            "There is no docker builder yet; it arrives with the ESP32 boards. "
            "Leave --builder out, or use --builder native."
        )
    raise UsageError(f"There is no builder {name!r}. Known builders: native, docker.")


class NativeBuilder:
    """Runs a plan with this machine's own compiler."""

    name = "native"

    def run(self, plan: Plan, log: Path, progress: Progress = silent) -> None:
        """Run the plan's steps, writing what they say to `log`; BuildError if one fails."""
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= plan.environment
        total = 0 if plan.executable.exists() else _count_compiles(plan.dry_run, environment)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            for step in plan.steps:
                done = 0
                progress(step.title, done, total)

                def hear(line: str, title: str = step.title) -> None:
                    nonlocal done
                    done += bool(_COMPILES.match(line))
                    progress(title, min(done, total), total)

                _run(step.argv, environment, file, hear, log)


def _count_compiles(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """How many C files a make that was asked for a dry run would compile."""
    result = subprocess.run(argv, env=environment, capture_output=True, text=True, errors="replace")
    return len(_COMPILES.findall(result.stdout))


def _run(
    argv: Sequence[str],
    environment: Mapping[str, str],
    file: TextIO,
    hear: Callable[[str], None],
    log: Path,
) -> None:
    """Run one program; its lines go to `file` and `hear`. It never outlives this call."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    file.write(f"$ {' '.join(argv)}\n")
    try:
        process = subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise BuildError(f"{argv[0]} cannot be run: {error.strerror}. invoke doctor") from error
    try:
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            tail.append(line.rstrip())
            hear(line)
        status = process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    if status:
        file.flush()
        lines = "\n".join(tail)
        failed = f"The build failed ({argv[0]}, status {status})."
        raise BuildError(f"{failed} {log} ends with:\n{lines}")
