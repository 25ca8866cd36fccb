"""Defines `mqboard boards`: every board of a broker in a table, once or until Ctrl-C."""

import queue
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NoReturn

import click
from rich.live import Live
from rich.text import Text

import mqwire
from mqhost.cli.edge import Edge, completing, json_option
from mqhost.cli.terminal.printing import json_text, say
from mqhost.cli.terminal.tables import Listing, render, show
from mqhost.errors import SilentBoardError, UsageError
from mqhost.fleet.memory import remember
from mqhost.fleet.presence import Presence
from mqhost.link.roster import ALL, Roster, meant

_COLUMNS = ("prefix", "state", "since", "board", "version", "slot", "mode", "reset", "dBm", "note")
_SIGNAL, _NOTE = "dBm", "note"
_LONGEST = 300  # characters of what a board says
_COLORS = {mqwire.ONLINE: "green", mqwire.ASLEEP: "blue", mqwire.OFFLINE: "red"}
_RARE = ("since", _NOTE)  # columns that are only there when something is in them
_REDRAW_S = 0.2  # what comes within that time is drawn together


@click.command("boards")
@click.argument("pattern", required=False, shell_complete=completing("prefix"))
@json_option
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C; with --json a line for each news.")
@click.option("--forget", is_flag=True, help="Have the broker forget those that are offline.")
@click.option(
    "--definitions", is_flag=True, help="List the kinds of boards that firmware can be built for."
)
@click.option(
    "--verify",
    is_flag=True,
    help="Of the definitions: check them: plan, layout and files, against MicroPython's own.",
)
@click.option("--board", metavar="BOARD", help="Of the definitions: only this one.")
@click.option(
    "--micropython",
    metavar="DIR",
    help="For --verify: a checkout.  [the board's release, if it was cloned]",
)
@click.pass_obj
def boards_command(
    edge: Edge,
    pattern: str | None,
    as_json: bool,
    watch: bool,
    forget: bool,
    definitions: bool,
    **kinds: Any,
) -> None:
    """List the boards that the broker knows, online or not, and how they are.

    PATTERN picks prefixes: + stands for one level, as in farm/+, and # for all from there on;
    without it --prefix or --group may.
    "since" is known of who took its leave; of who just vanished, the broker does not say when.
    With --forget those that the broker has forgotten now are listed; one that comes back is known
    again.

    \b
    Examples:
      mqboard boards
      mqboard boards 'farm/+' --watch
      mqboard boards 'farm/old-pump' --forget
      mqboard boards --definitions
      mqboard boards --definitions --verify --board esp32s3
    """
    if definitions:
        if pattern or watch or forget:
            raise UsageError(
                "--definitions is of no broker: it goes with --verify, --board, --micropython and "
                "--json only."
            )
        from mqhost.cli.tasks.show import definitions as show_definitions

        show_definitions(edge.console, as_json=as_json, **kinds)
        return
    if any(kinds.values()):
        raise UsageError("--verify, --board and --micropython go with --definitions.")
    settings = edge.settings
    patterns = (pattern,) if pattern else settings.many or (ALL,)
    if forget and (watch or ALL in patterns):
        raise UsageError("--forget wants a PATTERN of the boards that are no more, and no --watch.")
    news: queue.SimpleQueue[str] = queue.SimpleQueue()
    with edge.connection() as connection, Roster(connection, patterns, news.put) as roster:
        if watch:
            _watch(edge, roster, news, as_json)
        roster.settle()
        boards = presences(roster)
        if patterns == (ALL,):
            remember(settings, [board.prefix for board in boards])  # for completion
        if forget:
            boards = [board for board in boards if board.state == mqwire.OFFLINE]
            roster.forget([board.prefix for board in boards])
        exact = [pattern for pattern in patterns if not {"+", "#"} & set(pattern.split("/"))]
        question = "" if boards or forget else "".join(meant(connection, *exact))
    if boards or as_json:
        show(edge.console, presence_listing(boards), as_json)
    elif forget:
        say(edge.console, f"No board at {' or '.join(patterns)} is offline: nothing to forget.")
    if not boards and not forget:
        where = "" if ALL in patterns else f" at {' or '.join(patterns)}"
        raise SilentBoardError(
            f"No board{where} has announced itself at the broker {settings.where}.{question} Is it "
            "this broker, and do its access rules let you read there?"
        )


def presences(roster: Roster) -> list[Presence]:
    """Return how all boards of `roster` are, by prefix."""
    return [Presence.of(prefix, seen) for prefix, seen in roster.sightings().items()]


def presence_listing(boards: Iterable[Presence]) -> Listing:
    """List `boards`."""
    boards = list(boards)
    rows = [dict(zip(_COLUMNS, _row(board), strict=True)) for board in boards]
    columns = [name for name in _COLUMNS if name not in _RARE or any(row[name] for row in rows)]
    return Listing(
        columns,
        ([[row[name] for name in columns] for row in rows],),
        [board.record() for board in boards],
        numbers={columns.index(_SIGNAL)},
        prose={columns.index(_NOTE)} if _NOTE in columns else (),
        lean=True,
    )


def _row(board: Presence) -> list[str | Text]:
    slot, state = board.fact("slot"), board.fact("slot_state")
    cells: list[str | Text] = [
        board.prefix,
        Text(board.state, _COLORS[board.state]),
        _moment(board.since) if board.since and not board.online else "",
        board.fact("board"),
        board.fact("version"),
        f"{slot} ({state})" if slot and state != "valid" else slot,
        board.fact("mode"),
        board.fact("reset_cause"),
        board.fact("rssi"),
        "; ".join(board.remarks),
    ]
    return [cell if isinstance(cell, Text) else cell[:_LONGEST] for cell in cells]


def _moment(unix: float) -> str:
    """Say when that was, as short as a column wants it: today the time, before the day."""
    then = datetime.fromtimestamp(unix)
    today = then.date() == datetime.now().date()
    return then.strftime("%H:%M" if today else "%Y-%m-%d")


def _watch(edge: Edge, roster: Roster, news: "queue.SimpleQueue[str]", as_json: bool) -> NoReturn:
    """Show what changes, for ever: a table that is drawn anew, or away from a terminal lines."""
    if as_json or not edge.console.is_terminal:
        while True:
            _tell(edge, roster, news.get(), as_json)
    roster.settle()
    with Live(console=edge.console, auto_refresh=False) as live:
        while True:
            live.update(render(edge.console, presence_listing(presences(roster))), refresh=True)
            news.get()
            time.sleep(_REDRAW_S)
            while not news.empty():
                news.get()


def _tell(edge: Edge, roster: Roster, prefix: str, as_json: bool) -> None:
    """Print what is known of the board at `prefix` now, in a line."""
    seen = roster.sightings().get(prefix)
    if seen is None:
        record: dict[str, Any] = {"prefix": prefix, "state": None}
        text = "forgotten by the broker"
    else:
        board = Presence.of(prefix, seen)
        record = board.record()
        state, *cells = map(str, _row(board)[1:])
        named = zip(_COLUMNS[2:], cells, strict=True)
        facts = [cell if name == _NOTE else f"{name} {cell}" for name, cell in named if cell]
        text = ", ".join([state, *facts])
    line = f"{datetime.now():%H:%M:%S} {prefix}: {text}"
    say(edge.console, json_text(record, None) if as_json else line)
    edge.console.file.flush()
