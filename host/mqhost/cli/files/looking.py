"""Defines the commands that look at a board's files: ls, tree, df, cat."""

from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text
from rich.tree import Tree

from mqhost.cli.edge import Edge, json_option, raw_option
from mqhost.cli.files.places import board_path
from mqhost.cli.many import ForMany
from mqhost.cli.terminal.printing import clean, json_text, say
from mqhost.cli.terminal.tables import Listing, show
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.records import Entry, Volume

_SHORT_HASH = 16  # digits


@click.command("ls", cls=ForMany)
@click.argument("path", default="/")
@click.option("-l", "long", is_flag=True, help="With sizes and times, by the board's clock.")
@click.option("-R", "recursive", is_flag=True, help="With what is in folders.")
@click.option("--sha", is_flag=True, help="With the SHA-256 of each file, in hex.")
@json_option
@click.pass_obj
def ls_command(
    edge: Edge, path: str, long: bool, recursive: bool, sha: bool, as_json: bool
) -> None:
    """List the files in a folder of the board, the root folder if there is no PATH.

    Folders end with a slash.

    \b
    Examples:
      mqboard --prefix esp32/test ls
      mqboard --prefix esp32/test ls -l :lib
      mqboard --prefix esp32/test ls -R --sha --json
    """
    with edge.session() as session:
        files = BoardFiles(session)
        entries = files.ls(board_path(path), recursive=recursive, times=long or as_json, sha=sha)
    if as_json or ((long or sha) and entries):
        show(edge.console, files_listing(entries, long, sha), as_json)
    else:
        for entry in entries:
            say(edge.console, _shown(entry))


def files_listing(entries: list[Entry], long: bool = True, sha: bool = False) -> Listing:
    """List files and folders: `long` with sizes and times, `sha` with hashes."""
    rows = [_row(entry, long, sha) for entry in entries]
    columns = ("bytes", "changed") * long + ("sha256",) * sha + ("name",)
    told = [record(entry) for entry in entries]
    return Listing(columns, (rows,), told, numbers={0} if long else (), lean=True)


def record(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON has it."""
    found: dict[str, Any] = {"path": entry.path, "folder": entry.is_folder, "size": entry.size}
    if entry.mtime is not None:
        found["mtime"] = entry.mtime
    if entry.sha256 is not None:
        found["sha256"] = entry.sha256
    return found


@click.command("tree", cls=ForMany)
@click.argument("path", default="/")
@json_option
@click.pass_obj
def tree_command(edge: Edge, path: str, as_json: bool) -> None:
    """Show the folders of the board, and what is in them, as a tree.

    \b
    Examples:
      mqboard --prefix esp32/test tree
      mqboard --prefix esp32/test tree :lib
    """
    path = board_path(path)
    with edge.session() as session:
        entries = BoardFiles(session).ls(path, recursive=True)
    if as_json:
        say(edge.console, json_text([record(entry) for entry in entries]))
        return
    tree = Tree(Text(clean(":" + path)))
    branches = {"": tree}
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        branch = branches.get(folder, tree)
        label = name + ("/" if entry.is_folder else "")
        branches[entry.path] = branch.add(Text(clean(label)))
    edge.console.print(tree, soft_wrap=True)


@click.command("df", cls=ForMany)
@json_option
@click.pass_obj
def df_command(edge: Edge, as_json: bool) -> None:
    """Say how full the board's filesystems are.

    \b
    Examples:
      mqboard --prefix esp32/test df
    """
    with edge.session() as session:
        volumes = BoardFiles(session).df()
    show(edge.console, volumes_listing(volumes), as_json)


def volumes_listing(volumes: list[Volume]) -> Listing:
    """List filesystems, and how full they are."""
    rows = [
        (
            volume.path,
            f"{volume.size:,}",
            f"{volume.size - volume.free:,}",
            f"{volume.free:,}",
            f"{100 * (volume.size - volume.free) / volume.size:.0f} %" if volume.size else "",
        )
        for volume in volumes
    ]
    told = [{"path": each.path, "size": each.size, "free": each.free} for each in volumes]
    columns = ("filesystem", "bytes", "used", "free", "full")
    return Listing(columns, (rows,), told, numbers={1, 2, 3, 4}, lean=True)


@click.command("cat", cls=ForMany)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@raw_option
@click.pass_obj
def cat_command(edge: Edge, paths: tuple[str, ...], raw: bool) -> None:
    """Print files of the board.

    On a terminal control codes are replaced, unless --raw; elsewhere it is byte for byte.

    \b
    Examples:
      mqboard --prefix esp32/test cat :boot.log
    """
    output = edge.output(raw)
    with edge.session() as session:
        files = BoardFiles(session)
        for path in paths:
            output.write(files.read(board_path(path)))
            output.flush()


def _shown(entry: Entry) -> str:
    return clean(entry.path) + ("/" if entry.is_folder else "")


def _row(entry: Entry, long: bool, sha: bool) -> tuple[str, ...]:
    row: tuple[str, ...] = ()
    if long:
        row += ("" if entry.size is None else f"{entry.size:,}", _time(entry.mtime))
    if sha:
        row += (entry.sha256 or "",)
    return (*row, _shown(entry))


def _time(mtime: int | None) -> str:
    try:
        return f"{datetime.fromtimestamp(mtime or 0, UTC):%Y-%m-%d %H:%M:%S}" if mtime else ""
    except (OverflowError, OSError, ValueError):
        return ""
