"""Defines `mqboard fleet list`, `info` and `eval`: what shows boards, and runs code on them."""

from typing import Any

import click

from mqhost.cli.edge import Edge, json_option
from mqhost.cli.fleet.selection import Selection, conclude, counted, parallel_option, selecting
from mqhost.cli.manage.boards import presence_listing
from mqhost.cli.manage.info import info_command
from mqhost.cli.many import ForMany
from mqhost.cli.repl.code import eval_command, timeout_option
from mqhost.cli.terminal.printing import say
from mqhost.cli.terminal.tables import show
from mqhost.errors import SilentBoardError


@click.command("list")
@selecting
@json_option
@click.pass_obj
def list_command(edge: Edge, selection: Selection, as_json: bool) -> None:
    """List the boards that are chosen, by what the broker remembers of them.

    Without anything that chooses, these are all. The other fleet commands choose the same way.

    \b
    Examples:
      mqboard fleet list
      mqboard fleet list 'farm/+' 'barn/#' --where 'board==esp32 and version<0.5'
      mqboard fleet list --group north --where 'state==offline or crashes>0'
    """
    with selection.choose(edge, looking=True) as chosen:
        boards, meant = chosen.boards, "".join(chosen.likely.values())
    known = [board for board in boards.values() if board]
    absent = [prefix for prefix, board in boards.items() if board is None]
    if known or as_json:
        show(edge.console, presence_listing(known), as_json)
    if absent:
        raise SilentBoardError(f"No board at {' or '.join(absent)} has announced itself.{meant}")
    if not as_json:
        online = sum(board.online for board in known)
        asleep = sum(board.asleep for board in known)
        text = f"{counted(len(known))}: {online:,} online, {len(known) - online - asleep:,} offline"
        text += f", {asleep:,} asleep." if asleep else "."
        say(edge.console, text)


@click.command("info")
@selecting
@parallel_option
@json_option
@click.pass_obj
def fleet_info_command(edge: Edge, selection: Selection, parallel: int, as_json: bool) -> None:
    """Ask the boards that are chosen for their version, image, slot, memory and uptime.

    Without anything that chooses, these are all.

    \b
    Examples:
      mqboard fleet info 'farm/+'
      mqboard fleet info --where 'mode==safe' --json
    """
    _side_by_side(edge, selection, info_command, parallel, {"as_json": as_json}, looking=True)


@click.command("eval")
@click.argument("code")
@selecting
@timeout_option
@parallel_option
@json_option
@click.pass_obj
def fleet_eval_command(
    edge: Edge,
    selection: Selection,
    code: str,
    timeout: float | None,
    parallel: int,
    as_json: bool,
) -> None:
    """Run Python CODE on the boards that are chosen; show what each prints, and its value.

    All else is as with mqboard eval.

    \b
    Examples:
      mqboard fleet eval 'board.identity.version' 'farm/+'
      mqboard fleet eval 'import gc; gc.mem_free()' --where 'board==esp32' --json
    """
    options = {"code": code, "timeout": timeout, "raw": False, "as_json": as_json}
    _side_by_side(edge, selection, eval_command, parallel, options)


def _side_by_side(
    edge: Edge,
    selection: Selection,
    command: click.Command,
    parallel: int,
    params: dict[str, Any],
    looking: bool = False,
) -> None:
    """Run `command`, which is for one board or many, on those that are chosen."""
    assert isinstance(command, ForMany), command
    with selection.choose(edge, looking) as chosen:
        answers = command.side_by_side(
            chosen.edge, chosen.connection, chosen.boards, params, parallel
        )
    conclude(edge.console, chosen.boards, answers, quiet=params["as_json"])
