"""Defines `mqboard eval`: Python code that runs on the board."""

import sys

import click

from mqhost.cli import commands
from mqhost.cli.edge import Edge, raw_option
from mqhost.cli.printing import board_output


@click.command("eval")
@click.argument("code")
@raw_option
@click.pass_obj
def eval_command(edge: Edge, code: str, raw: bool) -> None:
    """Evaluate Python CODE on the board and print the answer.

    An expression prints its value; statements print what they print. CODE - reads it from standard
    input. A traceback goes to stderr, with exit code 1.

    \b
    Examples:
      mqboard --prefix esp32/test eval '45+876'
      mqboard --prefix esp32/test eval 'import sys; print(sys.implementation)'
      mqboard --prefix esp32/test eval - < report.py
    """
    if code == "-":
        code = sys.stdin.read()
    commands.run_eval(edge.settings, code, board_output(raw), debug=edge.debug)
