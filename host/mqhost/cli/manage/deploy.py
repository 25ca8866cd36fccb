"""Defines `mqboard deploy`: an application as a unit to a board, the list of them, and back."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mqhost.cli.edge import Edge, json_option
from mqhost.cli.terminal.display import Display
from mqhost.cli.terminal.printing import counted, json_text, say
from mqhost.cli.terminal.tables import Listing, show
from mqhost.deploy import deployment, outcome
from mqhost.deploy.application import Application
from mqhost.deploy.compile import compiled
from mqhost.deploy.deployment import Deployed, deploy, key_at_hand, key_for, missing_files
from mqhost.deploy.folder import Source, read_folder
from mqhost.deploy.history import read_history
from mqhost.deploy.kept import Kept, list_kept, roll_back
from mqhost.deploy.package import pack
from mqhost.errors import UsageError
from mqhost.files import replace_file
from mqhost.link.session import Session
from mqhost.project.model import deployable

STAGES = {
    deployment.SETTLE: "Waiting until the board has confirmed what it runs",
    deployment.COMPARE: "The board compares what it has",
    deployment.SEND: "Sending files",
    outcome.RESTART: "The board restarts",
    outcome.CONFIRM: "The board proves the new application",
}
_COLUMNS = ("application", "version", "state", "id", "why it failed")

mpy_option = click.option("--mpy", is_flag=True, help="Compile Python files to .mpy on the way.")
retry_option = click.option(
    "--retry-failed", is_flag=True, help="Also what the board tried and went back from."
)


@click.command("deploy")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR", required=False)
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@mpy_option
@retry_option
@click.option(
    "--pack",
    "package",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Only write it, signed, into FILE, for the page of a fleet and its HTTP API.",
)
@click.option("--list", "wants_list", is_flag=True, help="List the applications of the board.")
@click.option("--rollback", is_flag=True, help="Go back to the application before this one.")
@click.option(
    "--force",
    is_flag=True,
    help="With --rollback: also to one that is older than what was confirmed since, where the "
    "board's configuration says update.allow_rollback.",
)
@json_option
@click.pass_obj
def deploy_command(
    edge: Edge,
    folder: Path | None,
    dry_run: bool,
    mpy: bool,
    retry_failed: bool,
    package: Path | None,
    wants_list: bool,
    rollback: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Bring the application in DIR to the board, and wait until it runs it or is back.

    All files go up beside the version that runs, only those that differ. Then the board switches at
    once, restarts, and tries it: healthy and reachable, with all its modules, or the one before
    runs again and the tool says why. Interrupted, it goes on where it ended when it is run again.
    Without DIR it is the application of the project that this folder is in.

    \b
    Examples:
      mqboard --prefix esp32/test deploy greenhouse
      mqboard --prefix esp32/test deploy greenhouse --mpy --dry-run
      mqboard deploy greenhouse --pack greenhouse.zip
      mqboard --prefix esp32/test deploy --list
      mqboard --prefix esp32/test deploy --rollback
    """
    if not (wants_list or rollback):
        folder = deployable(folder)
    wishes = [folder is not None, wants_list, rollback]
    if sum(wishes) != 1:
        raise UsageError("Say one of these: the folder DIR to deploy, --list, or --rollback.")
    if not folder and (dry_run or mpy or retry_failed or package):
        raise UsageError("--dry-run, --mpy, --retry-failed and --pack are for a folder DIR.")
    if package and (dry_run or retry_failed):
        raise UsageError("--pack goes to no board: --dry-run and --retry-failed say nothing then.")
    if force and not rollback:
        raise UsageError("--force is for --rollback.")
    source = read_folder(folder) if folder else None
    if source and package:
        _pack(edge.console, source, mpy, package, as_json)
        return
    with edge.session() as session:
        if source:
            _bring(edge.console, session, source, mpy, dry_run, retry_failed, as_json)
        elif wants_list:
            _list(edge.console, session, as_json)
        else:
            _go_back(edge.console, session, force, as_json)


def _bring(
    console: Console,
    session: Session,
    source: Source,
    mpy: bool,
    dry_run: bool,
    retry_failed: bool,
    as_json: bool,
) -> None:
    history = read_history(source)
    key = key_for(session)
    application = Application.make(compiled(source) if mpy else source, history, key)
    if dry_run:
        _say_missing(console, application, missing_files(session, application), as_json)
        return
    if as_json:
        done = deploy(session, application, retry_failed=retry_failed)
        say(console, json_text(asdict(done)))
        return
    say(
        console,
        f"{session.prefix}: {application.label}, {counted(len(application.files), 'file')}, "
        f"{application.size:,} B",
    )
    with Display(console, STAGES, {deployment.SEND: 1}) as display:
        done = deploy(session, application, retry_failed=retry_failed, progress=display.show)
    say(console, outcome_text(session.prefix, done))


def _pack(console: Console, source: Source, mpy: bool, package: Path, as_json: bool) -> None:
    history = read_history(source)
    key = key_at_hand()
    application = Application.make(compiled(source) if mpy else source, history, key)
    data = pack(application)
    try:
        replace_file(package, data)
    except OSError as error:
        raise UsageError(f"{package} cannot be written: {error.strerror}.") from error
    if as_json:
        told = {"id": application.id, "key": key.public.id if key else "", "size": len(data)}
        say(console, json_text(told | {"name": application.name, "version": application.version}))
        return
    signed = f"signed with key {key.public.id}" if key else "not signed: there is no key here"
    say(console, f"{package}: {application.label}, {len(data):,} B, {signed}.")


def outcome_text(prefix: str, done: Deployed) -> str:
    """Say what the board at `prefix` runs now, and what it took."""
    label = f"{done.name} {done.version}"
    if not done.changed:
        return f"{prefix} runs {label} already."
    text = f"{prefix} runs {label}, confirmed, after {done.seconds:.1f} s"
    text += f"; sent: {counted(done.files, 'file')}, {done.sent:,} B."
    if done.before:
        text += f" It ran {done.before['name']} {done.before['version']}."
    return text


def _say_missing(
    console: Console, application: Application, missing: list[str], as_json: bool
) -> None:
    if as_json:
        manifest = json.loads(application.manifest)
        say(console, json_text({"id": application.id, "missing": missing, "manifest": manifest}))
        return
    for path, data in application.files.items():
        say(console, f"{'send' if path in missing else 'is there':8} {len(data):9,} B  {path}")
    total = sum(len(application.files[path]) for path in missing)
    files = counted(len(application.files), "file")
    say(
        console,
        f"{application.label}: {len(missing)} of {files} would be sent, {total:,} B. "
        "Nothing was changed.",
    )


def _list(console: Console, session: Session, as_json: bool) -> None:
    found, record = list_kept(session)
    if not as_json and not found:
        say(console, f"{session.prefix} has no application.")
        return
    show(console, kept_listing(found, record), as_json)


def kept_listing(found: list[Kept], record: dict[str, Any]) -> Listing:
    """List the applications of a board, which said `record`."""
    rows = [[each.name, each.version, each.state, each.id, each.reason] for each in found]
    return Listing(_COLUMNS, (rows,), record, prose={4}, lean=True)


def _go_back(console: Console, session: Session, force: bool, as_json: bool) -> None:
    if as_json:
        say(console, json_text(asdict(roll_back(session, force))))
        return
    with Display(console, STAGES) as display:
        done = roll_back(session, force, lambda stage: display.show(stage, 0, 0))
    say(
        console,
        f"{session.prefix} is back at {done.name} {done.version}, confirmed, after "
        f"{done.seconds:.1f} s.",
    )
