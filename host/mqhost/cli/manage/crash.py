"""Defines `mqboard crash`: what boots of a board ended badly, what ran then, and its last words."""

from typing import Any

import click
from rich.console import Console

from mqhost.cli.edge import CommandGroup, Edge, json_option
from mqhost.cli.many import ForMany
from mqhost.cli.terminal.printing import json_text, say, span
from mqhost.cli.terminal.tables import Listing, show
from mqhost.manage.crash import Crash, clear_crashes, list_crashes, show_crash

_TOLD_EVERY_S = 10  # so often a board notes how long it has been up
_COLUMNS = ("crash", "times", "how it ended", "what ran", "up for", "mode", "version")


@click.group("crash", cls=CommandGroup, default="list")
@json_option
def crash_command(as_json: bool) -> None:
    """List the boots of a board that ended badly; show one, or clear them.

    They are kept on the board, the last five, until they are cleared.
    """


@crash_command.command("list", cls=ForMany)
@json_option
@click.pass_obj
def list_command(edge: Edge, as_json: bool) -> None:
    """List the crashes that nobody has cleared, the oldest first.

    \b
    Examples:
      mqboard --prefix esp32/test crash list
    """
    _list(edge, as_json)


@crash_command.command("show")
@click.argument("number", type=int, required=False)
@json_option
@click.pass_obj
def show_command(edge: Edge, number: int | None, as_json: bool) -> None:
    """Show the crash NUMBER, or the last one: with its traceback and the last lines of the log.

    \b
    Examples:
      mqboard --prefix esp32/test crash show
      mqboard --prefix esp32/test crash show 3 --json
    """
    with edge.session() as session:
        crash = show_crash(session, number)
    if as_json:
        say(edge.console, json_text(crash.record))
    else:
        _report(edge.console, crash)


@crash_command.command("clear")
@json_option
@click.pass_obj
def clear_command(edge: Edge, as_json: bool) -> None:
    """Have the board forget its crashes: you have seen them.

    \b
    Examples:
      mqboard --prefix esp32/test crash clear
    """
    with edge.session() as session:
        count = clear_crashes(session)
    if as_json:
        say(edge.console, json_text({"cleared": count}))
    elif not count:
        say(edge.console, f"{session.prefix} had no crash to forget.")
    else:
        say(edge.console, f"{session.prefix} has forgotten {count} crash{'es' * (count != 1)}.")


def _list(edge: Edge, as_json: bool) -> None:
    with edge.session() as session:
        crashes, record = list_crashes(session)
    if as_json or crashes:
        show(edge.console, crashes_listing(crashes, record), as_json)
    else:
        say(edge.console, f"No boot of {session.prefix} has ended badly since this was cleared.")


def crashes_listing(crashes: list[Crash], record: dict[str, Any]) -> Listing:
    """List `crashes`, which were made from the board's `record`."""
    rows = [_row(crash) for crash in crashes]
    return Listing(_COLUMNS, (rows,), record, numbers={0, 1}, prose={2, 3}, lean=True)


def _row(crash: Crash) -> list[str]:
    return [
        str(crash.number),
        f"{crash.times:,}",
        crash.kind,
        crash.running,
        _up_for(crash),
        crash.mode,
        crash.version,
    ]


def _report(console: Console, crash: Crash) -> None:
    facts = {
        "crash": f"{crash.number}, {crash.times:,} time{'s' * (crash.times != 1)}",
        "what ran": crash.running or "unknown",
        "how it ended": crash.sentence,
        "reset cause": crash.record.get("reset_cause"),
        "up for": _up_for(crash),
        "free heap": "unknown" if crash.heap_free is None else f"{crash.heap_free:,} B",
        "mode": crash.mode,
        "version": crash.version or "unknown",
        "image": crash.record.get("image"),
    }
    for word, fact in facts.items():
        say(console, f"{word:13} {fact}")
    for title, key in (("traceback", "traceback"), ("last lines of the log", "log")):
        if text := crash.text(key):
            say(console, f"\n{title}:\n{text}")


def _up_for(crash: Crash) -> str:
    if crash.uptime is None:
        return ""
    return span(crash.uptime) if crash.uptime >= _TOLD_EVERY_S else f"under {_TOLD_EVERY_S} s"
