"""Defines `mqboard cancel`: end code that runs on a board."""

from typing import Any

import click

import mqwire
from mqhost.cli.edge import Edge, json_option, to_stderr
from mqhost.cli.terminal.printing import say
from mqhost.cli.terminal.tables import Listing, show
from mqhost.errors import AbsentBoardError, RefusedError, SilentBoardError, UsageError
from mqhost.link.session import Session
from mqhost.link.settings import command_line
from mqhost.repl.underway import Command, cancel, cancel_words, under_way

# A board that has not answered by then, in seconds, may be held up by the code that is to end.
_PATIENCE = 2.0


@click.command("cancel")
@click.argument("id", required=False)
@click.option("--all", "everything", is_flag=True, help="All code, and a transfer of firmware.")
@click.option("--list", "only_list", is_flag=True, help="End nothing: list what runs.")
@json_option
@click.pass_obj
def cancel_command(
    edge: Edge, id: str | None, everything: bool, only_list: bool, as_json: bool
) -> None:
    """End code that runs on the board, of the command with that ID or the only one; list the rest.

    Code that awaits is ended wherever it is, other code by KeyboardInterrupt. Either may be caught:
    what still runs is listed, and can be told again. While code blocks, the board cannot say what
    runs: give the ID, or --all. An ID that begins with - goes behind --. Firmware older than this
    command ends a transfer of firmware instead, which goes on when it is begun again.

    \b
    Examples:
      mqboard --prefix esp32/test cancel --list
      mqboard --prefix esp32/test cancel
      mqboard --prefix esp32/test cancel --all
    """
    if (id is not None) + everything + only_list > 1:
        raise UsageError("An ID, --all and --list: it can be one of them.")
    with edge.session() as session:
        if everything or id is not None:
            _end(session, id)
            running = _told(session)
        else:
            running = _told(session)
            if not only_list:
                cancel(session, _chosen(session, running, None))
                running = _told(session)
    if running or as_json:
        show(edge.console, running_listing(running), as_json)
    elif only_list:
        say(edge.console, f"No code runs on {edge.settings.prefix}.")


def _told(session: Session) -> list[Command]:
    """Return what runs; SilentBoardError that says how to end it if the board does not say soon."""
    timeout = session.settings.timeout
    try:
        return under_way(session, min(_PATIENCE, timeout))
    except AbsentBoardError:
        raise
    except SilentBoardError as error:
        if (session.last_status or {}).get("state") != mqwire.ONLINE:
            raise
        blocked = (
            f"{session.prefix} is online and does not say what runs: as a rule code that blocks "
            f"keeps it from that. {command_line(session.prefix, 'cancel --all')} ends that, too."
        )
        if not session.settings.patient or timeout <= _PATIENCE:
            raise SilentBoardError(blocked) from error
    to_stderr(f"{blocked} Waiting for its answer, up to {timeout:g} s.")
    return under_way(session, timeout - _PATIENCE)


def _end(session: Session, ident: str | None) -> None:
    """End the command `ident`, or all; also where code that blocks keeps the board from telling."""
    try:
        running = under_way(session, min(_PATIENCE, session.settings.timeout))
    except AbsentBoardError:
        raise
    except SilentBoardError:
        cancel(session, ident or "")
        return
    cancel(session, "" if ident is None else _chosen(session, running, ident))


def _chosen(session: Session, running: list[Command], ident: str | None) -> str:
    """Return the id of what is to be ended; RefusedError if that is not clear."""
    found = [command.ident for command in running if ident in (None, command.ident)]
    if len(found) == 1:
        return found[0]
    if ident is not None:
        raise RefusedError(f"No command {ident!r:.70} runs on {session.prefix}.")
    if not found:
        raise RefusedError(f"No code runs on {session.prefix}.")
    raise RefusedError(
        f"More than one command runs on {session.prefix}: {', '.join(found)}. Say which, or --all: "
        + command_line(session.prefix, cancel_words(found[0]))
    )


def running_listing(running: list[Command]) -> Listing:
    """List what runs."""
    rows: list[Any] = [(each.ident, f"{each.seconds:,} s", each.text) for each in running]
    record = [{"id": each.ident, "seconds": each.seconds, "text": each.text} for each in running]
    return Listing(("id", "since", "code"), (rows,), {"running": record}, numbers={1}, prose={2})
