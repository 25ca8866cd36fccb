"""Shows what the Invoke tasks print: tables, and the progress of a build."""

import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from mqhost import packages
from mqhost.build.board import Board
from mqhost.build.build import BuildResult
from mqhost.build.builders.native import Echo, mute
from mqhost.build.plan import Plan
from mqhost.build.source import DEBIAN
from mqhost.cli.display import Display
from mqhost.paths import ROOT, cache_dir
from mqhost.progress import Progress


@contextmanager
def progress(console: Console | None = None) -> Iterator[Progress]:
    """Give a progress callback that shows on `console` (stderr) while the `with` block runs."""
    with Display(console or Console(stderr=True), {}) as display:
        yield display.show


@contextmanager
def build_progress(echo: Echo | None) -> Iterator[dict[str, Any]]:
    """What a build reports to while the `with` block runs, as its arguments `progress` and `echo`.
    With an `echo`, which gets every line, progress shows as lines between them."""
    console = Console(stderr=True, force_terminal=False if echo else None)
    with progress(console) as report:
        yield {"progress": report, "echo": echo or mute}


def build_table(result: BuildResult) -> Table:
    """Make the table of what a build made: sizes, headroom, time, bytes of each frozen module."""
    table = Table("", "", title=f"{result.board} {result.version}", show_header=False)
    table.columns[1].justify = "right"
    share = 100 * result.image_size / result.slot_size
    for name, value in (
        ("app image", f"{result.image_size:,} B"),
        (f"slot {result.slot}", f"{result.slot_size:,} B"),
        ("headroom", f"{result.headroom:,} B ({100 - share:.0f} %)"),
        ("MicroPython", result.micropython),
        ("signed", result.signing),
        ("built in", f"{result.seconds:.1f} s ({result.builder})"),
        ("files", _short(result)),
    ):
        table.add_row(name, value)
    table.add_section()
    for module, size in result.modules:
        table.add_row(module, f"{size:,} B")
    table.add_row(f"{len(result.modules)} frozen modules", f"{result.frozen_bytes:,} B")
    return table


def plan_text(work: Plan) -> str:
    """Write out a plan in full: each program with its arguments, and what it runs in."""
    lines = [f"Plan to build {work.board}, in {work.tree}"]
    for step in work.steps:
        lines += ["", f"{step.title}:"]
        lines += [f"  {shlex.quote(word)}" for word in step.argv]
    lines += ["", "environment:"]
    lines += [f"  {name}={shlex.quote(value)}" for name, value in sorted(work.environment.items())]
    if work.inherited:
        lines += ["", "and of this machine's:", f"  {' '.join(work.inherited)}"]
    lines += ["", "read (mounted read-only into a container):"]
    lines += [f"  {path}" for path in work.reads]
    lines += ["", "written (mounted):"]
    lines += [f"  {path}" for path in (work.tree, *work.caches)]
    if work.layout:
        source, port, target = work.layout
        lines += ["", f"MicroPython: {source}", f"  laid out in {target}, ports/{port} as a copy"]
    lines += ["", "made:"]
    lines += [f"  {path}" for path in (work.executable, work.flash) if path]
    return "\n".join(lines)


def board_table(boards: Iterable[Board]) -> Table:
    """Make the table of the boards there are."""
    table = Table("board", "product", "mcu", "port", "MicroPython", "flash", "features")
    for board in boards:
        flash = f"{board.flash_size // 1024 // 1024} MiB"
        features = ", ".join(board.features)
        table.add_row(
            board.name,
            board.product,
            board.mcu,
            board.port,
            board.micropython,
            flash,
            features,
        )
    return table


def doctor_table() -> Table:
    """Make the table of what this machine has and lacks, and what each thing is needed for."""
    table = Table("what", "there?", "needed for")
    python = ".".join(map(str, sys.version_info[:3]))
    table.add_row(f"Python {python}", "[green]yes[/]", "everything; 3.11 or newer")
    for package in packages.PACKAGES:
        there = "[green]yes[/]" if package.present else "[red]missing[/]"
        table.add_row(package.name, there, package.reason)
    there = "[green]yes[/]" if _engine_answers() else "none answers"
    table.add_row("Docker engine", there, "building in a container, as for the ESP32 boards")
    for release in DEBIAN:
        fetched = (cache_dir() / "source" / f"micropython-{release}").is_dir()
        there = "[green]yes[/]" if fetched else "downloaded by the first build"
        table.add_row(f"MicroPython {release}", there, "the simulated board's firmware")
    return table


def _engine_answers() -> bool:
    """Return whether there is a container engine that lets us use it."""
    # Slow to load: only where it is wanted.
    from mqhost.build.builders.docker_engine import EngineError, connect

    try:
        connect().close()
    except EngineError:
        return False
    return True


def doctor_advice() -> str:
    """Say what comes after the table: nothing is missing, or the command that gets what is."""
    lacking = packages.missing()
    if not lacking:
        return "Nothing is missing."
    command = packages.install_command(lacking)
    return f"As root, what is missing is installed when it is needed, or now with: {command}"


def _short(result: BuildResult) -> str:
    """Return the output folder, from the project's root where it lies within."""
    folder = result.folder
    return str(folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder)
