"""Defines `mqboard eval`, `exec` and `run`: Python code that runs on the board."""

from io import BytesIO
from pathlib import Path

import click

from mqhost.cli.edge import Edge, json_option, raw_option
from mqhost.cli.many import ForMany
from mqhost.cli.repl.follow import follow
from mqhost.cli.terminal.printing import json_text, say
from mqhost.repl.running import Run, start
from mqhost.repl.source import STDIN, read_file

timeout_option = click.option(
    "--timeout", type=click.FloatRange(min=0.1), help="End it after so many seconds.  [never]"
)


@click.command("eval", cls=ForMany)
@click.argument("code")
@timeout_option
@raw_option
@json_option
@click.pass_obj
def eval_command(edge: Edge, code: str, timeout: float | None, raw: bool, as_json: bool) -> None:
    """Run Python CODE on the board; print what it prints, and the value of a last expression.

    CODE - reads it from standard input. `await` works. The names that it defines stay until the
    board restarts. A traceback goes to stderr, with exit code 1. Ctrl-C ends it on the board.

    \b
    Examples:
      mqboard --prefix esp32/test eval '45+876'
      mqboard --prefix esp32/test eval 'import gc; gc.mem_free()'
      mqboard --prefix esp32/test eval - < report.py
      mqboard --prefix 'farm/+' eval 'board.identity.version' --json
    """
    source = edge.text_argument(code)
    with edge.session() as session:
        run = start(session, source, timeout=timeout)
        _print(edge, run, raw, as_json)


@click.command("exec", cls=ForMany)
@click.argument("code")
@timeout_option
@raw_option
@json_option
@click.pass_obj
def exec_command(edge: Edge, code: str, timeout: float | None, raw: bool, as_json: bool) -> None:
    """Run Python CODE on the board and print what it prints, and nothing else.

    All else is as with eval.

    \b
    Examples:
      mqboard --prefix esp32/test exec 'for name in dir(board): print(name)'
      mqboard --prefix esp32/test exec - < report.py
    """
    source = edge.text_argument(code)
    with edge.session() as session:
        run = start(session, source, show=False, timeout=timeout)
        _print(edge, run, raw, as_json)


@click.command("run", cls=ForMany, context_settings={"allow_interspersed_args": False})
@timeout_option
@raw_option
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run_command(
    edge: Edge, file: Path, arguments: tuple[str, ...], timeout: float | None, raw: bool
) -> None:
    """Run FILE, a Python file of this computer, on the board; print what it prints.

    ARGUMENTS are in sys.argv behind its name; __name__ is "__main__". Nothing is stored on the
    board. FILE - reads it from standard input. All else is as with eval: `await` works, and so does
    asyncio.run(...) outside of functions; Ctrl-C ends it on the board.

    \b
    Examples:
      mqboard --prefix esp32/test run blink.py
      mqboard --prefix esp32/test run --timeout 60 measure.py --samples 20
      mqboard --prefix esp32/test run - < blink.py
    """
    if str(file) == "-":
        source, name = edge.text_argument("-"), STDIN
    else:
        source, name = read_file(file), file.name
    argv = [name, *arguments]
    with edge.session() as session:
        run = start(session, source, show=False, file=name, argv=argv, timeout=timeout)
        follow(edge, run, edge.output(raw))


def _print(edge: Edge, run: Run, raw: bool, as_json: bool) -> None:
    """Print what `run` prints: as it comes, or as JSON when it has ended."""
    if not as_json:
        follow(edge, run, edge.output(raw), whole_lines=True)
        return
    output = BytesIO()
    follow(edge, run, output)
    say(edge.console, json_text({"output": output.getvalue().decode("utf-8", "replace")}))
