"""Defines the group `mqboard fleet`, and what is in it."""

import click

from mqhost.cli.edge import CommandGroup
from mqhost.cli.fleet.audit import audit_command
from mqhost.cli.fleet.config import config_command
from mqhost.cli.fleet.deploy import fleet_deploy_command
from mqhost.cli.fleet.homeassistant import homeassistant_command
from mqhost.cli.fleet.looking import fleet_eval_command, fleet_info_command, list_command
from mqhost.cli.fleet.rollout.command import rollout_command
from mqhost.cli.fleet.serve import serve_command
from mqhost.cli.fleet.users import user_command


@click.group("fleet", cls=CommandGroup)
def fleet_command() -> None:
    """Work with many boards: list them, ask them, and change them, chosen by what they are.

    PATTERN picks prefixes: + stands for one level, as in farm/+, and # for all from there on.
    Several, and a --group, are added up. --where keeps those for which a condition holds, over what
    their status says: board==esp32 and version<0.5. Without a pattern or group the options before
    the command choose.
    """


for _command in (
    list_command,
    fleet_info_command,
    fleet_eval_command,
    config_command,
    fleet_deploy_command,
    serve_command,
    user_command,
    audit_command,
    homeassistant_command,
    rollout_command,
):
    fleet_command.add_command(_command)
