"""Defines `mqboard info` and `mqboard status`: what a board says of itself, or its broker of it."""

from collections.abc import Mapping
from typing import Any

import click

from mqhost.cli.edge import Edge, json_option, to_stderr
from mqhost.cli.facts import absence, print_facts
from mqhost.cli.manage.boards import presence_listing
from mqhost.cli.many import ForMany
from mqhost.cli.terminal.printing import json_text, say, span
from mqhost.cli.terminal.tables import Listing, show
from mqhost.errors import SilentBoardError
from mqhost.fleet.many import call_roll, questions
from mqhost.link.roster import is_asleep

_COLUMNS = ("prefix", "board", "version", "slot", "mode", "reset", "up for", "free heap", "dBm")


def info_listing(records: Mapping[str, dict[str, Any]]) -> Listing:
    """List what many boards say of themselves."""
    rows = [[prefix, *_row(record)] for prefix, record in records.items()]
    return Listing(_COLUMNS, (rows,), records, numbers={7, 8}, lean=True)


def _row(record: dict[str, Any]) -> list[str]:
    def fact(key: str) -> str:
        value = record.get(key)
        return "" if value is None else str(value)

    slot, state = fact("slot"), fact("slot_state")
    heap, up = record.get("heap_free"), record.get("uptime_s")
    return [
        fact("board"),
        fact("version"),
        slot if state in ("", "valid") else f"{slot} ({state})",
        fact("mode"),
        fact("reset_cause"),
        span(up) if isinstance(up, int) else fact("uptime_s"),
        f"{heap:,} B" if isinstance(heap, int) else fact("heap_free"),
        fact("rssi"),
    ]


@click.command("info", cls=ForMany, table=info_listing)
@json_option
@click.pass_obj
def info_command(edge: Edge, as_json: bool) -> None:
    """Ask the board for its version, image, slot, memory and uptime.

    \b
    Examples:
      mqboard --prefix esp32/test info
      mqboard --prefix esp32/test info --json
    """
    with edge.session() as session:
        print_facts(edge.console, session.request_json("info"), as_json)


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
    if edge.settings.many:
        _statuses(edge, as_json)
        return
    with edge.session() as session:
        absent = absence(session)
        status = session.last_status
    if status is not None:
        print_facts(edge.console, status, as_json)
    if status is not None and is_asleep(status):
        to_stderr(absent)
    elif absent:
        raise SilentBoardError(absent)


def _statuses(edge: Edge, as_json: bool) -> None:
    """Print what the broker remembers of many boards."""
    with edge.connection() as connection:
        boards = call_roll(connection, edge.settings.many)
        likely = questions(connection, boards)
    known = {prefix: board for prefix, board in boards.items() if board}
    if as_json:
        told = {prefix: board and board.status for prefix, board in boards.items()}
        say(edge.console, json_text(told))
    elif known:
        show(edge.console, presence_listing(known.values()))
    absent = [prefix for prefix in boards if prefix not in known]
    if absent or not boards:
        where = " or ".join(absent or edge.settings.many)
        meant = "".join(likely.values())
        raise SilentBoardError(f"No board at {where} has announced itself at this broker.{meant}")
    if not all(board.online or board.asleep for board in known.values()):
        raise click.exceptions.Exit(SilentBoardError.exit_code)
