"""Defines `mqboard clock`: what time a board has, and setting it."""

import click

from mqhost.cli.edge import Edge, json_option
from mqhost.cli.facts import clock_text
from mqhost.cli.many import ForMany
from mqhost.cli.terminal.printing import json_text, say
from mqhost.manage.clock import BoardClock, read_clock, set_clock


@click.command("clock", cls=ForMany, changes=("setting",))
@click.option("--set", "setting", is_flag=True, help="Set it to this machine's time first.")
@json_option
@click.pass_obj
def clock_command(edge: Edge, setting: bool, as_json: bool) -> None:
    """Tell what time the board has, whether it is to be trusted, and from where.

    A board sets its clock by NTP; --set is for one that reaches no NTP server.

    \b
    Examples:
      mqboard --prefix esp32/test clock
      mqboard --prefix esp32/test clock --set
    """
    with edge.session() as session:
        if setting:
            set_clock(session)
        clock = read_clock(session)
    say(edge.console, json_text(clock.record()) if as_json else _sentence(clock))


def _sentence(clock: BoardClock) -> str:
    apart = f"{abs(clock.ahead):,} s {'ahead of' if clock.ahead > 0 else 'behind'} this machine"
    same = abs(clock.ahead) <= 1  # both are told in whole seconds
    return f"{clock_text(clock.record())}, {'the same as here' if same else apart}"
