"""Defines `mqboard sim` and `broker`: a simulated board and a broker, each until Ctrl-C."""

from functools import partial
from pathlib import Path

import click

from mqhost.cli.edge import FILE, Edge
from mqhost.cli.terminal.printing import say


@click.command("sim")
@click.option(
    "--board",
    help="The kind of board: sim, or one that extends it.  [that of the project, or sim]",
)
@click.option(
    "--flash",
    type=FILE,
    help="The board's flash file, made when it is not there.  [in build/sim]",
)
@click.option("--heap", help="MicroPython's heap, as 128k or 4m.  [192k]")
@click.pass_obj
def sim_command(edge: Edge, board: str | None, flash: Path | None, heap: str | None) -> None:
    """Run a simulated board in the foreground until Ctrl-C.

    \b
    Examples:
      mqboard --prefix esp32/test sim
      mqboard --prefix esp32/small sim --heap 128k
    """
    from mqhost.cli.tasks.simulator import run_foreground
    from mqhost.sim.device import HEAP

    settings = edge.plain
    run_foreground(
        settings.need_prefix(),
        settings.server,
        settings.port,
        board=board,
        flash=flash,
        heap=heap or HEAP,
        say=partial(say, edge.console),
    )


@click.command("broker")
@click.pass_obj
def broker_command(edge: Edge) -> None:
    """Run an MQTT broker for this machine in the foreground until Ctrl-C.

    \b
    Examples:
      mqboard broker
      mqboard --port 1884 broker
    """
    from mqhost import packages
    from mqhost.sim.broker import run_foreground

    tell = partial(say, edge.console)
    packages.ensure("broker", say=tell)
    run_foreground(edge.plain.port, say=tell)
