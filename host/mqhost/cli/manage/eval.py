"""Defines `mqboard eval`: Python code that runs on the board."""

import click

from mqhost.cli.edge import Edge, raw_option
from mqhost.cli.many import ForMany
from mqhost.cli.printing import Output
from mqhost.link.session import Session
from mqhost.link.settings import as_utf8


@click.command("eval", cls=ForMany)
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
    source = as_utf8(edge.text_argument(code), "the code")
    with edge.session() as session:
        print_eval(session, source, edge.output(raw))


def print_eval(session: Session, source: bytes, output: Output) -> None:
    """Evaluate `source` on the board and write to `output` what comes back, as it comes."""
    ending = b"\n"
    try:
        for part in session.stream("eval", source):
            output.write(part)
            output.flush()
            ending = part[-1:] or ending
    finally:
        if ending != b"\n":
            output.write(b"\n")
            output.flush()
