"""Defines the group `mqboard fleet rollout`; what is no command of it begins a rollout."""

import difflib
from itertools import pairwise
from pathlib import Path

import click

from mqhost.cli.edge import CommandGroup
from mqhost.cli.fleet.rollout.asking import COMMANDS
from mqhost.cli.fleet.rollout.starting import drive_command, start_command

_START = "start"
_ALIKE = 0.75  # of 1: below that it is something else


class _Group(CommandGroup):
    """Takes a line without the name of a command for one of `start`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            self._refuse_slip(ctx, args[0])
            self._refuse_order(ctx, args)
            args = [_START, *args]
        return super().parse_args(ctx, args)

    def _refuse_slip(self, ctx: click.Context, word: str) -> None:
        """End with an error if `word` looks like one of our commands, written wrongly."""
        if not word.replace("-", "").isalpha() or Path(word).exists():
            return
        if close := difflib.get_close_matches(word, self.commands, 1, _ALIKE):
            ctx.fail(f"No such command {word!r}. Did you mean {close[0]}?")

    def _refuse_order(self, ctx: click.Context, args: list[str]) -> None:
        """End with an error if one of our commands stands behind options that begin the line."""
        if not args[0].startswith("-"):
            return
        for before, word in pairwise(args):
            if word in self.commands and not before.startswith("-") and not Path(word).exists():
                ctx.fail(f"The command comes before its options: {ctx.command_path} {word} …")


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
