"""Defines the command that makes a folder on a board like one of this machine: sync."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from mqhost.cli.edge import Edge
from mqhost.cli.files.places import board_path, progress_bar
from mqhost.cli.terminal.printing import clean, json_text, say
from mqhost.errors import UsageError
from mqhost.link.session import Session
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.sync import Plan, carry_out, plan_sync, wanted_tree
from mqhost.remote.trees import join, reader

# The keys of the configuration that name files.
_FILES = ("ca", "cert", "key")


@click.command("sync")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("remote", default="/", metavar="[REMOTE]")
@click.option("--delete", is_flag=True, help="Remove what is on the board and not here.")
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@click.option("--mpy", is_flag=True, help="Compile .py files to .mpy on the way, but for scripts.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as a JSON object.")
@click.pass_obj
def sync_command(
    edge: Edge, folder: Path, remote: str, delete: bool, dry_run: bool, mpy: bool, as_json: bool
) -> None:
    """Make the board's folder REMOTE like FOLDER: only what differs goes over.

    The board says the SHA-256 of what it has. Without REMOTE it is its root folder. What begins
    with a dot, __pycache__, *.pyc and *~ are left out. --delete keeps what the board needs itself:
    its configuration and certificates, applications, records of crashes. Interrupted, it goes on
    where it was when it is run again.

    \b
    Examples:
      mqboard --prefix esp32/test sync app :app
      mqboard --prefix esp32/test sync app :app --delete --dry-run
      mqboard --prefix esp32/test sync lib :lib --mpy
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder.")
    compiling = _compiled(folder) if mpy else nullcontext(folder)
    with compiling as source, edge.session() as session:
        files = BoardFiles(session)
        kept = _needed(session) if delete else []
        plan = plan_sync(files, source, board_path(remote), delete=delete, kept=kept)
        if not dry_run:
            with progress_bar() as progress:
                carry_out(files, plan, progress=progress)
    if as_json:
        say(edge.console, json_text(record(plan)))
        return
    for path in (entry.path for entry in (*plan.first, *plan.remove)):
        say(edge.console, f"remove {clean(join(plan.remote, path))}")
    for path in plan.put:
        say(edge.console, f"put    {clean(join(plan.remote, path))}")
    say(edge.console, _summary(plan, dry_run))


@contextmanager
def _compiled(folder: Path) -> Iterator[Path]:
    """Give a folder like `folder`, with .mpy files in place of .py files."""
    from mqhost.deploy.compile import compiled_files  # its start takes time that others have

    folders, sources = wanted_tree(folder)
    files = compiled_files({path: reader(place)() for path, place in sources.items()}, folder)
    with tempfile.TemporaryDirectory() as name:
        for path in folders:
            Path(name, path).mkdir(parents=True)
        for path, data in files.items():
            Path(name, path).write_bytes(data)
        yield Path(name)


def record(plan: Plan) -> dict[str, Any]:
    """Return what was done as JSON has it: paths from the board's root."""
    removed = [join(plan.remote, entry.path) for entry in (*plan.first, *plan.remove)]
    put = [join(plan.remote, path) for path in plan.put]
    return {"put": put, "removed": removed, "unchanged": plan.unchanged}


def _summary(plan: Plan, dry_run: bool) -> str:
    put, removed = len(plan.put), len(plan.first) + len(plan.remove)
    text = f"{put:,} put, {removed:,} removed, {plan.unchanged:,} unchanged"
    return f"Would be: {text}. Nothing was done." if dry_run else f"{text}."


def _needed(session: Session) -> list[str]:
    """Return the paths of the files that the board's configuration names."""
    from mqhost.manage import configuration

    broker = configuration.fetch(session).record.get("broker")
    tables = [broker, broker.get("fallback")] if isinstance(broker, dict) else []
    named = [table.get(key) for table in tables if isinstance(table, dict) for key in _FILES]
    return [path for path in named if isinstance(path, str)]
