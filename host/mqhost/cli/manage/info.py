"""Defines `mqboard info` and `mqboard status`: what a board says of itself, or its broker of it."""

import click

from mqhost.cli import commands
from mqhost.cli.edge import Edge, json_option


@click.command("info")
@json_option
@click.pass_obj
def info_command(edge: Edge, as_json: bool) -> None:
    """Ask the board for its version, image, slot, memory and uptime.

    \b
    Examples:
      mqboard --prefix esp32/test info
      mqboard --prefix esp32/test info --json
    """
    commands.run_info(edge.settings, edge.console, as_json=as_json, debug=edge.debug)


@click.command("status")
@json_option
@click.pass_obj
def status_command(edge: Edge, as_json: bool) -> None:
    """Print what the broker remembers of the board; exit code 4 if it is offline.

    This asks the broker only, so it also works when the board is away.

    \b
    Examples:
      mqboard --prefix esp32/test status
      mqboard --prefix esp32/test status --json
    """
    commands.run_status(edge.settings, edge.console, as_json=as_json, debug=edge.debug)
