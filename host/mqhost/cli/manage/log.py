"""Defines `mqboard log`: follows the log of one board or of many, or changes what a board logs."""

import sys
from collections.abc import Iterator

import click
from rich.console import Console
from rich.text import Text

from mqhost.cli.edge import Edge, completing, json_option, raw_option, to_stderr
from mqhost.cli.facts import absence
from mqhost.cli.terminal.printing import clean, clean_lines, json_text, say
from mqhost.cli.terminal.tables import Listing, show
from mqhost.errors import UsageError
from mqhost.fleet.logs import LogLine, Logs
from mqhost.fleet.many import call_roll, questions
from mqhost.link.session import Session
from mqhost.link.settings import Settings, command_line
from mqhost.manage.loglevels import Levels, Wish, change, levels_of
from mqwire.config import LOG_LEVELS

_STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "red"}
_COLUMNS = ("logger", "level", "")
_NAMED = 5  # boards


@click.command("log")
@click.argument("pattern", required=False, shell_complete=completing("prefix"))
@click.option("--lines", type=click.IntRange(min=1), help="Stop after that many lines.")
@click.option(
    "--min-level",
    type=click.Choice(LOG_LEVELS),
    default="debug",
    help="Leave out what loggers say below it.",
)
@raw_option
@json_option
@click.option(
    "--level",
    "wishes",
    multiple=True,
    metavar="[LOGGER=]LEVEL",
    help="Change what the board logs, until its next boot; default: as configured.",
)
@click.option("--levels", is_flag=True, help="Show the board's loggers and their levels.")
@click.pass_obj
def log_command(
    edge: Edge,
    pattern: str | None,
    lines: int | None,
    min_level: str,
    raw: bool,
    as_json: bool,
    wishes: tuple[str, ...],
    levels: bool,
) -> None:
    """Follow the board's log until Ctrl-C; with PATTERN the logs of all boards that match.

    PATTERN is as for `mqboard boards`: farm/+ or farm/#. Lines that were printed without a logger
    are always shown. With --level or --levels nothing is followed.

    \b
    Examples:
      mqboard --prefix esp32/test log
      mqboard log 'farm/#' --min-level warning
      mqboard --prefix esp32/test log --level mqtt=debug
    """
    if not (wishes or levels):
        _follow(edge, pattern, lines or 0, min_level, Printer(edge.console, raw, as_json))
    elif pattern:
        raise UsageError("Levels are those of one board: give its --prefix, and no PATTERN.")
    else:
        _change(edge, [Wish.parse(text) for text in wishes], as_json)


class Printer:
    """Prints lines: in colours and cleaned on a terminal, elsewhere byte for byte, or as JSON."""

    def __init__(self, console: Console, raw: bool, as_json: bool) -> None:
        self._console = console
        self._bytes = raw or not sys.stdout.isatty()
        self._as_json = as_json
        self.many = False  # whose line it is is not clear

    def show(self, line: LogLine) -> None:
        if self._as_json:
            say(self._console, json_text(line.record(), None))
        elif self._bytes:
            ending = b"" if line.data.endswith(b"\n") else b"\n"
            head = f"{line.prefix}: ".encode() if self.many else b""
            sys.stdout.buffer.write(head + line.data + ending)
        else:
            text = clean_lines(line.data.decode("utf-8", "replace")).rstrip("\n")
            shown = Text(text, _STYLES.get(line.level or "", ""))
            if self.many:
                shown = Text.assemble((clean(line.prefix), "cyan"), ": ", shown)
            self._console.print(shown, soft_wrap=True)
        sys.stdout.flush()


def _follow(edge: Edge, pattern: str | None, lines: int, level: str, printer: Printer) -> None:
    settings = edge.settings
    is_wide = pattern and {"+", "#"} & set(pattern.split("/"))
    if patterns := (pattern,) if pattern and is_wide else () if pattern else settings.many:
        _follow_many(edge, patterns, lines, level, printer)
        return
    one = settings.for_one(pattern) if pattern else settings
    session = Session(one, debug=edge.debug)
    with session, Logs(session.connection, session.prefix) as logs:
        if absent := absence(session):
            to_stderr(f"{absent} Waiting for its log.")
        more = command_line(session.prefix, "log --level debug")
        _greet(settings, session.prefix, level, f" It logs more after: {more}")
        _show(logs, lines, level, printer)


def _follow_many(
    edge: Edge, patterns: tuple[str, ...], lines: int, level: str, printer: Printer
) -> None:
    printer.many = True
    with edge.connection() as connection, Logs(connection, *patterns) as logs:
        boards = call_roll(connection, patterns)
        for prefix, question in questions(connection, boards).items():
            to_stderr(f"No board has announced itself at {prefix}.{question} Waiting for its log.")
        if not boards:
            where = " or ".join(patterns)
            to_stderr(f"No board at {where} has announced itself. Waiting for logs.")
        there = [prefix for prefix, board in boards.items() if board]
        some = ", ".join(there[:_NAMED]) + ", …" * (len(there) > _NAMED)
        _greet(edge.settings, f"{' and '.join(patterns)} ({some or 'nobody yet'})", level)
        _show(logs, lines, level, printer)


def _greet(settings: Settings, whom: str, level: str, more: str = "") -> None:
    """Say to whoever sits there whose log it is: a quiet board says nothing for a long time."""
    if sys.stderr.isatty():
        rest = "" if level == LOG_LEVELS[0] else f", from {level} on"
        to_stderr(
            f"Following the log of {whom}{rest}, at {settings.where}. Ctrl-C ends this.{more}"
        )


def _show(logs: Iterator[LogLine], lines: int, level: str, printer: Printer) -> None:
    shown = 0
    while not lines or shown < lines:
        line = next(logs)
        if line.at_least(level):
            printer.show(line)
            shown += 1


def _change(edge: Edge, wishes: list[Wish], as_json: bool) -> None:
    with edge.session() as session:
        levels = levels_of(session)
        known = ", ".join(levels.loggers)
        for wish in wishes:
            if wish.logger and wish.logger not in levels.loggers:
                to_stderr(f"The board has no logger {wish.logger} yet. It has {known}.")
        if wishes:
            levels = change(session, wishes)
    show(edge.console, levels_listing(levels), as_json)


def levels_listing(levels: Levels) -> Listing:
    """List the loggers of a board."""
    rows = [
        (name, own or levels.level, "its own" if own else "")
        for name, own in sorted(levels.loggers.items())
    ]
    return Listing(_COLUMNS, (rows,), levels.record, title=f"Level: {levels.level}", lean=True)
