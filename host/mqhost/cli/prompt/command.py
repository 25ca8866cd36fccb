"""Defines `mqboard repl`: a prompt whose lines run on the board, or a program from a pipe."""

import sys

import click

from mqhost.cli.edge import Edge, raw_option
from mqhost.cli.prompt.screen import Screen
from mqhost.cli.repl.follow import follow
from mqhost.repl import start


@click.command("repl")
@raw_option
@click.pass_context
def repl_command(context: click.Context, raw: bool) -> None:
    """Open a Python prompt on the board; or run the program that comes through a pipe.

    Lines are edited as in Python: history, TAB for names of the board, blocks that a blank line
    ends, paste. What they print comes while they run. Ctrl-C interrupts them, Ctrl-D leaves.

    \b
    Examples:
      mqboard --prefix esp32/test repl
      mqboard --prefix esp32/test repl < report.py
    """
    edge: Edge = context.obj
    with edge.session() as session:
        if not sys.stdin.isatty():
            follow(edge, start(session, sys.stdin.read(), show=False), edge.output(raw))
            return
        from mqhost.cli.prompt.talk import Talk  # prompt_toolkit: an eighth of a second

        context.exit(Talk(session, Screen(edge.output(raw))).run())
