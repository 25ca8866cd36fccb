"""Defines `mqboard rollback`: back to the firmware in the board's other slot."""

from dataclasses import asdict

import click

from mqhost.cli.edge import Edge, json_option
from mqhost.cli.terminal.display import Display
from mqhost.cli.terminal.printing import json_text, say
from mqhost.cli.update.report import STAGES
from mqhost.manage.rollback import roll_back


@click.command("rollback")
@click.option(
    "--force",
    is_flag=True,
    help="Also to firmware that is older than what was confirmed since, where the board's "
    "configuration says update.allow_rollback.",
)
@click.option(
    "--confirm-timeout",
    type=click.FloatRange(min=1),
    help="Seconds to wait for its confirmation.  [what the board gives it, and 60]",
)
@json_option
@click.pass_obj
def rollback_command(edge: Edge, force: bool, confirm_timeout: float | None, as_json: bool) -> None:
    """Boot the firmware in the board's other slot again, and wait until it is confirmed.

    It is tried like an update: if it does not prove good, the board comes back with what it runs
    now. The board refuses what it never confirmed.

    \b
    Examples:
      mqboard --prefix esp32/test rollback
      mqboard --prefix esp32/test rollback --force --json
    """
    with edge.session() as session:
        if as_json:
            done = roll_back(session, force, confirm_timeout)
        else:
            with Display(edge.console, STAGES) as display:
                done = roll_back(
                    session, force, confirm_timeout, lambda stage: display.show(stage, 0, 0)
                )
    if as_json:
        say(edge.console, json_text(asdict(done)))
        return
    say(
        edge.console,
        f"{session.prefix} is back at {done.version} in slot {done.slot}, confirmed, after "
        f"{done.seconds:.1f} s; it ran {done.old_version}.",
    )
