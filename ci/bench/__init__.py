"""Runs the benchmarks: groups of figures, measured on this machine, as a table and as JSON.

    ./invoke bench [--only GROUP,…] [--quick] [--power-cuts all]

Each group is a module here whose `measure(rig)` returns its figures by name. A figure is a median
of runs; where the machine itself sets a limit (a bare make, a raw MQTT client), that is measured in
the same run, taking turns, because machines are noisy. A missed aim is marked, and is no failure.
"""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mqhost.cli.tasks import show
from mqhost.cli.terminal import tables
from mqhost.cli.terminal.printing import say
from mqhost.cli.terminal.tables import Listing
from mqhost.errors import UsageError
from mqhost.paths import BUILD

# Their modules, by name, in the order in which they are measured.
GROUPS = {
    "build": "build",
    "new": "new",
    "eval": "eval",
    "repl": "repl",
    "cli": "cli",
    "idle": "idle",
    "boot": "boot",
    "update": "update",
    "mqtt": "mqtt",
    "mqtt5": "mqtt.version5",
    "files": "files",
    "dev": "dev",
    "power": "power",
    "bridge": "bridge",
    "powercuts": "surviving.powercuts",
    "config": "surviving.config",
    "deploy": "surviving.deploy",
    "auth": "auth",
    "psk": "psk",
    "fleet": "fleet",
    "faults": "surviving.faults",
    "storage": "surviving.storage",
    "soak": "surviving.soak",
    "chaos": "surviving.chaos",
    "docker": "docker",
}
RESULT = BUILD / "bench.json"


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    `value` is in `unit`, the median of `runs` runs (or a percentile of so many samples). `limit` is
    what was measured in the same run for the bare thing, in the same unit; `aim` is what the value
    should reach: at most that, or with `at_least` no less. Either is None where there is none.
    `part`: fewer cases were run than the aim is about.
    """

    value: float
    unit: str
    runs: int
    limit: float | None = None
    aim: float | None = None
    at_least: bool = field(default=False, kw_only=True)
    part: bool = field(default=False, kw_only=True)

    @property
    def missed(self) -> bool:
        """Whether the value is on the wrong side of its aim."""
        if self.aim is None:
            return False
        return self.value < self.aim if self.at_least else self.value > self.aim

    @property
    def verdict(self) -> str:
        """The word "ok" or "missed"; "" where nothing can be said: no aim, or only a part was run.

        What a part has too much of is too much all the same.
        """
        if self.aim is None or self.part and (self.at_least or not self.missed):
            return ""
        return "missed" if self.missed else "ok"

    def record(self) -> dict:
        """Return what stands in bench.json."""
        fields = asdict(self)
        del fields["at_least"], fields["part"]
        return fields


def median(samples: Iterable[float], digits: int = 3) -> float:
    """Return the median of `samples`, rounded."""
    return round(statistics.median(samples), digits)


def chosen(only: str | None) -> tuple[str, ...]:
    """Return the groups that `only` names, in their own order; all if empty. Raises UsageError."""
    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    for name in names:
        if name not in GROUPS:
            raise UsageError(f"There is no group {name!r}. Known groups: {', '.join(GROUPS)}.")
    return tuple(group for group in GROUPS if not names or group in names)


def run(
    only: str | None,
    quick: bool,
    console: Console,
    power_cuts: str | None = None,
    as_json: bool = False,
) -> dict[str, Figure]:
    """Measure the groups in `only`, print the table on `console`, write build/bench.json.

    `quick`: fewer runs. `power_cuts`: "all" or a number, see surviving.powercuts; only this is
    measured if `only` is empty. Progress shows on stderr.
    """
    only = only or ("powercuts" if power_cuts else None)
    figures: dict[str, Figure] = {}
    # A broker, simulated boards and the compiler: only loaded when they are used.
    from ci.bench.rig import Rig

    with show.progress() as progress, Rig(quick, progress) as rig:
        rig.power_cuts = power_cuts
        for group in chosen(only):
            left_out = "" if only or group != "docker" else _without_docker(quick)
            if left_out:
                say(Console(stderr=True), f"docker is left out: {left_out}.")
                continue
            progress(f"measuring {group}", 0, 0)
            measured = import_module(f"ci.bench.{GROUPS[group]}").measure(rig)
            figures |= {f"{group}.{name}": figure for name, figure in measured.items()}
    report(figures, console, as_json=as_json)
    return figures


def _without_docker(quick: bool) -> str:
    """Say why the group `docker` is left out; empty if it is not."""
    return import_module("ci.engine").unavailable(quick)


def report(
    figures: Mapping[str, Figure], console: Console, path: Path = RESULT, as_json: bool = False
) -> None:
    """Print `figures` as a table or as JSON, and write them to `path`."""
    found = listing(figures)
    tables.show(console, found, as_json)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found.record, indent=2) + "\n")


def listing(figures: Mapping[str, Figure]) -> Listing:
    """List the figures as people read them; a missed aim is red and says so."""
    columns = "figure", "value", "unit", "runs", "limit", "aim", ""
    rows = [(name, *_cells(figure)) for name, figure in figures.items()]
    record = {name: figure.record() for name, figure in figures.items()}
    return Listing(columns, (rows,), record, numbers={1, 3, 4, 5}, lean=True)


def _cells(figure: Figure) -> tuple[str | Text, ...]:
    sign = "≥" if figure.at_least else "≤"
    aim = f"{sign} {_text(figure.aim)}" if figure.aim is not None and figure.verdict else ""
    limit = "" if figure.limit is None else _text(figure.limit)
    verdict = Text(figure.verdict, "red" * (figure.verdict == "missed"))
    return _text(figure.value), figure.unit, str(figure.runs), limit, aim, verdict


def _text(number: float) -> str:
    return f"{number:,.3f}".rstrip("0").rstrip(".")
