"""Defines `mqboard fleet rollout start`, whose name may be left out, and `drive`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mqhost.cli.edge import Edge, local_files
from mqhost.cli.fleet.rollout.database import Rollouts, keeping, number_argument
from mqhost.cli.fleet.rollout.plan import plan_record, show_plan
from mqhost.cli.fleet.selection import Selection, selecting
from mqhost.cli.terminal.printing import say
from mqhost.cli.terminal.questions import Questions
from mqhost.errors import SilentBoardError, UsageError
from mqhost.fleet.rollout import control
from mqhost.fleet.rollout.options import Options
from mqhost.fleet.rollout.plan import make_plan

events_option = click.option(
    "--json", "as_json", is_flag=True, help="Print events, one JSON object a line."
)


@click.command("start")
@click.argument("first", metavar="IMAGE...", shell_complete=local_files)
@selecting
@click.option("--canary", default="5%", show_default=True, help="How many boards come first.")
@click.option(
    "--wave",
    default="10,50%,100%",
    show_default=True,
    help="How many have had their turn after each wave.",
)
@click.option(
    "--max-failed", default="2%", show_default=True, help="Stop once more boards have failed."
)
@click.option("--parallel", default="8", show_default=True, help="How many boards at a time.")
@click.option("--window", default="", help="When boards may be sent to, as 02:00-05:00.  [always]")
@click.option(
    "--wait", default="7d", show_default=True, help="How long an absent board is waited for."
)
@click.option(
    "--settle", default="5m", show_default=True, help="How long a board has to stay healthy."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask first.")
@click.option("--no-drive", is_flag=True, help="Only keep it: another process drives.")
@events_option
@keeping
def start_command(
    edge: Edge,
    rollouts: Rollouts,
    first: str,
    selection: Selection,
    yes: bool,
    no_drive: bool,
    as_json: bool,
    **texts: str,
) -> None:
    """Bring images to the boards that are chosen: canaries first, then wave by wave.

    IMAGE is an app.bin, the folder of a build, a bundle of CI, digits of a SHA-256 as for ota, or a
    folder of several of these: one image for each type of board. What is none of that is a PATTERN.
    The word start may be left out. Without anything that chooses, these are all boards, if somebody
    agrees. It goes on until it is over; after Ctrl-C, with mqboard fleet rollout drive.

    \b
    Examples:
      mqboard fleet rollout start build/esp32 'farm/+'
      mqboard fleet rollout start release/ --group north --canary 2 --window 02:00-05:00
      mqboard fleet rollout start build/esp32/app.bin '#' --max-failed 1 --settle 10m --yes
    """
    from mqhost.fleet.rollout.images import find_images, is_image

    options = Options.parse(**texts)
    words = (first, *selection.patterns)
    named = [word for word in words if is_image(word)] or [first]
    images = find_images(map(Path, named))
    selection = replace(selection, patterns=tuple(word for word in words if word not in named))
    console = Console(stderr=True) if as_json else edge.console
    with rollouts.opened() as store, selection.choose(edge, looking=not yes) as chosen:
        for prefix in (prefix for prefix, board in chosen.boards.items() if board is None):
            say(console, f"{prefix} has never announced itself here.{chosen.likely[prefix]}")
        known = [board for board in chosen.boards.values() if board]
        if not known:
            raise SilentBoardError("No board is there: nothing was started.")
        plan = make_plan(known, (offer for offer, _ in images), options)
        control.check(plan)
        show_plan(console, plan, images, options, chosen.boards)
        if not (yes or Questions.at_terminal().agree("Start this rollout?")):
            raise UsageError("Nothing was started. In a script, --yes says that it is wanted.")
        number = control.start(
            store, plan, images, options, broker=rollouts.broker, who=rollouts.who
        )
    _go(edge, rollouts, number, as_json, no_drive, plan_record(plan, images, options))


@click.command("drive")
@number_argument
@click.option("--same-broker", is_flag=True, help="Its broker has another name from here.")
@events_option
@keeping
def drive_command(
    edge: Edge, rollouts: Rollouts, number: int | None, same_broker: bool, as_json: bool
) -> None:
    """Drive a rollout that is in the database: go on with it, or wait to take over.

    One process drives it at a time. Another one waits, shows how it goes, and takes over within
    15 s when that one has died. Without an ID it is the one that is not over.

    \b
    Examples:
      mqboard fleet rollout drive
      mqboard fleet rollout drive 3 --database postgresql://mqboard@db.example/fleet
    """
    from mqhost.cli.fleet.rollout.driving import drive_in_front

    with rollouts.opened() as store:
        found = control.find(store, number, rollouts.broker)
        drive_in_front(edge, rollouts, store, found.id, as_json, same_broker)


def _go(
    edge: Edge, rollouts: Rollouts, number: int, as_json: bool, no_drive: bool, record: Any
) -> None:
    """Say that the rollout has begun, and drive it."""
    from mqhost.cli.fleet.rollout.driving import drive_in_front
    from mqhost.cli.fleet.rollout.watching import Events

    if as_json:
        Events(edge.console).tell("start", id=number, **record)
    else:
        say(edge.console, f"Rollout {number} is in the database.")
    if no_drive:
        if not as_json:
            say(edge.console, f"It begins with: {rollouts.line('drive', number)}")
        return
    with rollouts.opened() as store:
        drive_in_front(edge, rollouts, store, number, as_json)
