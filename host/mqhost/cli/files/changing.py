"""Defines the commands that change a board's files on the board: rm, mkdir, rmdir, touch, mv."""

import click

from mqhost.cli.edge import Edge
from mqhost.cli.files.places import board_path, name_of, progress_bar, targets
from mqhost.errors import BoardError
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.faults import FileError, shown

_paths = click.argument("paths", nargs=-1, required=True, metavar="PATH...")


@click.command("rm")
@_paths
@click.option("-r", "recursive", is_flag=True, help="Folders, too, with all that is in them.")
@click.option("-f", "force", is_flag=True, help="What is not there is no error.")
@click.pass_obj
def rm_command(edge: Edge, paths: tuple[str, ...], recursive: bool, force: bool) -> None:
    """Remove files of the board.

    \b
    Examples:
      mqboard --prefix esp32/test rm :old.py
      mqboard --prefix esp32/test rm -r :lib/unused
    """
    with edge.session() as session, progress_bar() as progress:
        found = [board_path(path) for path in paths]
        try:
            BoardFiles(session).rm(found, recursive=recursive, force=force, progress=progress)
        except FileError as error:
            if error.reason != "EISDIR":
                raise
            text = f"{shown(error.path)} is a folder: with -r it is removed, too."
            raise BoardError(text) from error


@click.command("mkdir")
@_paths
@click.option("-p", "parents", is_flag=True, help="Those that it is in, too; it may be there.")
@click.pass_obj
def mkdir_command(edge: Edge, paths: tuple[str, ...], parents: bool) -> None:
    """Make folders on the board.

    \b
    Examples:
      mqboard --prefix esp32/test mkdir -p :lib/pump
    """
    with edge.session() as session:
        BoardFiles(session).mkdir([board_path(path) for path in paths], parents=parents)


@click.command("rmdir")
@_paths
@click.pass_obj
def rmdir_command(edge: Edge, paths: tuple[str, ...]) -> None:
    """Remove folders of the board that are empty.

    \b
    Examples:
      mqboard --prefix esp32/test rmdir :lib/pump
    """
    with edge.session() as session:
        BoardFiles(session).rmdir(board_path(path) for path in paths)


@click.command("touch")
@_paths
@click.pass_obj
def touch_command(edge: Edge, paths: tuple[str, ...]) -> None:
    """Make files on the board, empty, or give those that are there the time that it is now.

    \b
    Examples:
      mqboard --prefix esp32/test touch :flag
    """
    with edge.session() as session:
        BoardFiles(session).touch(board_path(path) for path in paths)


@click.command("mv")
@click.argument("paths", nargs=-1, required=True, metavar="FROM... TO")
@click.pass_obj
def mv_command(edge: Edge, paths: tuple[str, ...]) -> None:
    """Move or rename files and folders on the board; several go into the folder TO.

    \b
    Examples:
      mqboard --prefix esp32/test mv :main.py :old.py
      mqboard --prefix esp32/test mv :a.py :b.py :lib/
    """
    if len(paths) < 2:
        raise click.UsageError("Say from where, and to where.")
    *sources, destination = [board_path(path) for path in paths]
    with edge.session() as session:
        files = BoardFiles(session)
        found = targets(files, [name_of(source) for source in sources], destination)
        for source, target in zip(sources, found, strict=True):
            files.mv(source, target)
