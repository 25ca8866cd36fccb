"""Defines `mqboard fleet audit`: who did what, when, to which board, with which result."""

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from mqhost.cli.edge import Edge, json_option
from mqhost.cli.fleet.rollout.database import database_option
from mqhost.cli.terminal.tables import Listing, show
from mqhost.fleet.store.opening import open_store

if TYPE_CHECKING:
    from mqhost.fleet.store.records import Entry

_COLUMNS = ("when (UTC)", "who", "what", "board", "result")
_UNITS = {"m": 60, "h": 3600, "d": 86400}


class _Age(click.ParamType):
    """Takes how long ago, as 90m, 24h or 7d."""

    name = "age"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"([0-9]{1,6})([mhd])", str(value))
        if found is None:
            self.fail(f"{value!r:.40} is no time, as 90m, 24h or 7d.", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


@click.command("audit")
@click.option("--board", metavar="PREFIX", help="What was done to that board.")
@click.option("--who", metavar="NAME", help="What that one did.")
@click.option("--what", metavar="TEXT", help="What begins so, as update or config.")
@click.option("--rollout", "number", type=int, metavar="N", help="What belongs to that rollout.")
@click.option("--since", type=_Age(), metavar="TIME", help="What was done since then, as 24h.")
@click.option(
    "--last",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="The last ones, at most so many.",
)
@database_option
@json_option
@click.pass_obj
def audit_command(
    edge: Edge,
    database: str | None,
    board: str | None,
    who: str | None,
    what: str | None,
    number: int | None,
    since: float | None,
    last: int,
    as_json: bool,
) -> None:
    """Tell who did what, when, to which board, with which result: the last one comes last.

    It has what was done on the page, by the API and by rollouts; nothing of it is ever changed.

    \b
    Examples:
      mqboard fleet audit --since 24h
      mqboard fleet audit --board farm/pump --what update --json
    """
    with open_store(database or edge.settings.database or None) as store:
        after = None if since is None else time.time() - since
        found = store.audit(board=board, who=who, what=what, number=number, since=after, limit=last)
    show(edge.console, audit_listing([entry for _, entry in reversed(found)]), as_json)


def audit_listing(entries: "Sequence[Entry]") -> Listing:
    """List what was done."""
    rows = []
    for one in entries:
        at = f"{datetime.fromtimestamp(one.at, UTC):%Y-%m-%d %H:%M:%S}"
        rows.append([at, one.who, one.what, one.board or "", one.result])
    records = [one.__dict__ for one in entries]
    return Listing(_COLUMNS, (rows,), records, prose={2, 4}, lean=True)
