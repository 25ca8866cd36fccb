"""Defines `mqboard new`: a project of the user's own, out of the template."""

from pathlib import Path

import click

from mqhost.cli.edge import Edge, json_option
from mqhost.cli.terminal.printing import json_text, say


@click.command("new")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="NAME")
@click.option(
    "--board",
    metavar="BOARD",
    help="The board of MQBoard's that its own board extends.  [esp32]",
)
@json_option
@click.pass_obj
def new_command(edge: Edge, folder: Path, board: str | None, as_json: bool) -> None:
    """Make a project of your own in the new folder NAME: an application, a board, their firmware.

    In that folder mqboard and invoke build, run, test and update what is yours.

    \b
    Examples:
      mqboard new greenhouse
      mqboard new greenhouse --board esp32s3
    """
    from mqhost.project.creating import create  # reads boards, which no other command waits for

    made = create(folder, board)
    names = [file.relative_to(folder).as_posix() for file in made]
    if as_json:
        say(edge.console, json_text({"folder": str(folder.resolve()), "files": names}))
        return
    for name in names:
        say(edge.console, f"{folder / name}")
    say(edge.console, f"Now: cd {folder}, then mqboard test, mqboard build. README.md says more.")
