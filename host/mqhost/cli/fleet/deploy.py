"""Defines `mqboard fleet deploy`: an application to many boards."""

from dataclasses import asdict
from pathlib import Path

import click

from mqhost.cli.edge import Edge
from mqhost.cli.fleet.changing import Done, Manner, change_all, changing
from mqhost.cli.fleet.selection import Selection
from mqhost.cli.manage.deploy import mpy_option, outcome_text, retry_option
from mqhost.deploy.application import Application
from mqhost.deploy.compile import compiled
from mqhost.deploy.deployment import deploy, key_for
from mqhost.deploy.folder import read_folder
from mqhost.deploy.history import read_history
from mqhost.link.session import Session


@click.command("deploy")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@mpy_option
@retry_option
@changing
def fleet_deploy_command(
    edge: Edge,
    selection: Selection,
    manner: Manner,
    folder: Path,
    mpy: bool,
    retry_failed: bool,
) -> None:
    """Bring the application in DIR to the boards that are chosen, and wait for each.

    Each board runs it, confirmed, or is back with the one before, as with mqboard deploy. Boards
    that run it already take no time: so the same command again is for those that failed.

    \b
    Examples:
      mqboard fleet deploy greenhouse 'farm/+'
      mqboard fleet deploy greenhouse --where 'board==esp32' --parallel 4 --max-failed 2% --yes
    """
    source = read_folder(folder)
    history = read_history(source)
    files = compiled(source) if mpy else source

    def bring(session: Session) -> Done:
        application = Application.make(files, history, key_for(session))
        done = deploy(session, application, retry_failed=retry_failed)
        return Done(outcome_text(session.prefix, done), asdict(done))

    change_all(edge, selection, manner, f"{files.name} {history.version}", bring)
