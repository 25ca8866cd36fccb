"""Shows what the Invoke tasks print: tables, and the progress of a build."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

from rich.console import Console
from rich.text import Text

from mqhost.build.board import Board, boards, find
from mqhost.build.build import BuildResult
from mqhost.build.builders.native import mute
from mqhost.build.checking.verify import OK, UNCHECKED, WRONG, Finding, verify
from mqhost.build.freeze import ORIGINS, PROJECT
from mqhost.build.plan import Plan
from mqhost.build.secure import Secure
from mqhost.cli.terminal import tables
from mqhost.cli.terminal.display import Display
from mqhost.cli.terminal.printing import json_text, say
from mqhost.cli.terminal.tables import Listing, Row
from mqhost.errors import ToolError, UsageError
from mqhost.paths import WORK
from mqhost.progress import Progress


@contextmanager
def progress(console: Console | None = None) -> Iterator[Progress]:
    """Give a progress callback that shows on `console` (stderr) while the `with` block runs."""
    with Display(console or Console(stderr=True), {}) as display:
        yield display.show


@contextmanager
def build_progress(verbose: bool) -> Iterator[dict[str, Any]]:
    """Give a build's arguments `progress` and `echo`, which show on stderr while the `with` block
    runs: with `verbose` every line that it says, and the progress as lines between them."""
    console = Console(stderr=True, force_terminal=False if verbose else None)
    with progress(console) as report:
        yield {"progress": report, "echo": partial(say, console) if verbose else mute}


def build_listing(result: BuildResult) -> Listing:
    """List what a build made: sizes, headroom, time, bytes of each frozen module."""
    share = 100 * result.image_size / result.slot_size
    facts = [
        ("app image", f"{result.image_size:,} B"),
        (f"slot {result.slot}", f"{result.slot_size:,} B"),
        ("headroom", f"{result.headroom:,} B ({100 - share:.0f} %)"),
        ("MicroPython", result.micropython),
        ("signed", result.signing),
        *([("secured", result.secure)] if result.secure != Secure().words else []),
        ("built in", f"{result.seconds:.1f} s ({result.builder})"),
        ("files", _short(result)),
    ]
    origins = []
    for origin in ORIGINS:
        modules = [module for module in result.modules if module.origin == origin]
        if origin == PROJECT and not modules:
            continue
        rows = [(module.path, f"{module.size:,} B") for module in modules]
        total = sum(module.size for module in modules)
        origins.append([*rows, (f"{len(rows)} from {origin}", f"{total:,} B")])
    whole = [(f"{len(result.modules)} frozen modules", f"{result.frozen_bytes:,} B")]
    record = asdict(result) | result.sums
    title = f"{result.board} {result.version}"
    return Listing(("", ""), (facts, *origins, whole), record, title, numbers={1})


def plan_text(work: Plan, as_json: bool = False) -> str:
    """Write out a plan in full: each program with its arguments, and what it runs in."""
    if as_json:
        texts = {str(path): text for path, text in work.texts.items()}
        return json_text(asdict(work) | {"texts": texts})
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


def definitions(
    console: Console,
    *,
    board: str | None = None,
    verify: bool = False,
    micropython: str | None = None,
    as_json: bool = False,
) -> None:
    """Print the boards that firmware can be built for, or only `board`; with `verify` check them,
    against MicroPython's sources, too, if they are at hand: see checking.verify."""
    if micropython and not verify:
        raise UsageError("--micropython is what boards are checked against: it goes with --verify.")
    chosen = [find(board)] if board else boards()
    if verify:
        verified(console, chosen, micropython, as_json)
    else:
        tables.show(console, board_listing(chosen), as_json)


def board_listing(boards: Iterable[Board]) -> Listing:
    """List the boards there are."""
    columns = ("board", "product", "mcu", "port", "MicroPython", "flash", "features")
    rows, records = [], []
    for board in boards:
        names = (board.name, board.product, board.mcu, board.port, board.micropython)
        either = f"{board.micropython} or {board.fallback}" if board.fallback else board.micropython
        flash = f"{board.flash_size // 1024 // 1024} MiB"
        rows.append((*names[:4], either, flash, ", ".join(board.features)))
        facts = (*names, board.flash_size, list(board.features))
        keys = ("board", "product", "mcu", "port", "micropython", "flash_size", "features")
        records.append(dict(zip(keys, facts, strict=True)))
    return Listing(columns, (rows,), records, prose={1, 6})


def verified(
    console: Console, boards: Iterable[Board], micropython: str | None, as_json: bool = False
) -> None:
    """Check the boards and print what came of it; ToolError at the end if something is wrong."""
    findings = [finding for board in boards for finding in verify(board, micropython)]
    tables.show(console, verify_listing(findings), as_json)
    count = Counter(finding.state for finding in findings)
    if count[WRONG]:
        raise ToolError(f"{count[WRONG]} of {len(findings)} checks found something wrong.")
    if not as_json:
        unchecked = f"; {count[UNCHECKED]} could not be made" if count[UNCHECKED] else ""
        say(console, f"{count[OK]} checks found nothing wrong{unchecked}.")


def verify_listing(findings: Sequence[Finding]) -> Listing:
    """List what checks of boards found, a section for each board."""
    sections: dict[str, list[Row]] = {}
    for finding in findings:
        colour = {OK: "green", WRONG: "red"}.get(finding.state, "yellow")
        row = (finding.board, finding.check, Text(finding.state, colour), finding.words)
        sections.setdefault(finding.board, []).append(row)
    columns = ("board", "what", "", "found")
    record = [asdict(finding) for finding in findings]
    return Listing(columns, list(sections.values()), record, prose={3})


def _short(result: BuildResult) -> str:
    """Return the output folder, from the folder of work where it lies within."""
    folder = result.folder
    return str(folder.relative_to(WORK) if folder.is_relative_to(WORK) else folder)
