"""Defines `mqboard reset`: restart a board, in the mode that is wished for."""

import click

from mqhost.cli.edge import Edge, json_option
from mqhost.cli.terminal.printing import json_text, say
from mqhost.cli.terminal.questions import Questions
from mqhost.errors import UsageError
from mqhost.link.settings import command_line
from mqhost.manage.restart import AS_IS, BOOTLOADER, NORMAL, SAFE, WAIT, enter_bootloader, restart
from mqhost.paths import TASK


@click.command("reset")
@click.option("--safe", is_flag=True, help="In safe mode: none of your modules runs.")
@click.option("--normal", is_flag=True, help="In normal mode: leaves safe mode.")
@click.option("--bootloader", is_flag=True, help="To be flashed over USB.")
@click.option("--yes", is_flag=True, help="Do not ask whether somebody is there (--bootloader).")
@click.option(
    "--wait",
    type=click.FloatRange(min=1),
    default=WAIT,
    show_default=True,
    help="Seconds until the board must be back.",
)
@json_option
@click.pass_obj
def reset_command(edge: Edge, yes: bool, wait: float, as_json: bool, **wishes: bool) -> None:
    """Restart the board and wait until it is back; say in which mode, and why.

    Safe mode stays until --normal, an update, or until the power goes. Without an option the board
    starts in the mode that was asked for last.

    \b
    Examples:
      mqboard --prefix esp32/test reset
      mqboard --prefix esp32/test reset --safe
      mqboard --prefix esp32/test reset --normal
    """
    mode = _wanted(wishes)
    prefix = edge.settings.need_prefix()
    if mode == BOOTLOADER and not yes:
        _ask(prefix)
    with edge.session() as session:
        if mode == BOOTLOADER:
            enter_bootloader(session)
            if as_json:
                say(edge.console, json_text({"mode": mode}))
            else:
                say(edge.console, f"{prefix} waits for firmware over USB ({TASK} flash).")
            return
        back = restart(session, mode, wait)
    status = back.status
    if as_json:
        say(edge.console, json_text(status | {"seconds": round(back.seconds, 3)}))
        return
    leave = f" {command_line(prefix, 'reset --normal')} leaves it."
    say(
        edge.console,
        f"{prefix} is back in {status.get('mode')} mode after {back.seconds:.1f} s "
        f"(reset cause {status.get('reset_cause')}): {status.get('version')} in "
        f"{status.get('slot')}.{leave if mode == AS_IS and status.get('mode') == SAFE else ''}",
    )


def _wanted(wishes: dict[str, bool]) -> str:
    """Return the one mode that is wished for."""
    modes = [mode for mode in (SAFE, NORMAL, BOOTLOADER) if wishes[mode]]
    if len(modes) > 1:
        raise UsageError(f"A board starts in one mode: --{modes[0]} or --{modes[1]}?")
    return modes[0] if modes else AS_IS


def _ask(prefix: str) -> None:
    """Raise UsageError unless somebody is there who wants it."""
    question = f"{prefix} will be off until somebody flashes or resets it at its USB port. Go on?"
    if not Questions.at_terminal().agree(question):
        raise UsageError("Nothing was sent. In a script, --yes says that somebody is there.")
