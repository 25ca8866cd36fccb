"""Defines the group `mqboard fleet rollout`; what is no command of it begins a rollout."""

import click

from mqhost.cli.edge import CommandGroup
from mqhost.cli.fleet.rollout.asking import COMMANDS
from mqhost.cli.fleet.rollout.starting import drive_command, start_command

_START = "start"


class _Group(CommandGroup):
    """Takes a line without the name of a command for one of `start`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_START, *args]
        return super().parse_args(ctx, args)


@click.group("rollout", cls=_Group)
def rollout_command() -> None:
    """Bring images to many boards: canaries first, then wave by wave; it stops when too many fail.

    mqboard fleet rollout IMAGE... PATTERN... starts one. Its state is in a database: the process
    that drives it may be killed, and another one goes on.

    \b
    Examples:
      mqboard fleet rollout build/esp32 'farm/+' --canary 1
      mqboard fleet rollout status
      mqboard fleet rollout retry-failed
    """


for _command in (start_command, drive_command, *COMMANDS):
    rollout_command.add_command(_command)
