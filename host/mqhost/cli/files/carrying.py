"""Defines the commands that carry files between this machine and a board: get, put, cp."""

from collections.abc import Sequence
from pathlib import Path

import click

from mqhost.cli.edge import Edge
from mqhost.cli.files.places import (
    board_path,
    local_targets,
    name_of,
    on_board,
    progress_bar,
    targets,
)
from mqhost.cli.printing import say
from mqhost.errors import BoardError, UsageError
from mqhost.progress import Progress
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.faults import FileError, shown
from mqhost.remote.landing import is_name, write_file
from mqhost.remote.trees import get_tree, put_tree, reader

_recursive = click.option(
    "-r", "recursive", is_flag=True, help="Folders, with all that is in them."
)


@click.command("get")
@click.argument("paths", nargs=-1, required=True, metavar="PATH... [TO]")
@_recursive
@click.pass_obj
def get_command(edge: Edge, paths: tuple[str, ...], recursive: bool) -> None:
    """Get files from the board: into the folder TO, or as the file TO; without TO, in here.

    With more than one word the last one is TO, unless it begins with ":", as what is on the board
    may. Nothing is written outside of TO. What is there is replaced when the new file is whole.

    \b
    Examples:
      mqboard --prefix esp32/test get boot.log
      mqboard --prefix esp32/test get :lib/a.py :lib/b.py copies/
      mqboard --prefix esp32/test get -r :lib backup
    """
    sources, to = list(paths), "."
    if len(paths) > 1 and not on_board(paths[-1]):
        *sources, to = paths
    with edge.session() as session, progress_bar() as progress:
        count = _get(BoardFiles(session), sources, to, recursive, progress)
    _report(edge, count)


@click.command("put")
@click.argument("paths", nargs=-1, required=True, metavar="FILE... [TO]")
@_recursive
@click.pass_obj
def put_command(edge: Edge, paths: tuple[str, ...], recursive: bool) -> None:
    """Put files on the board: into the folder TO, or as the file TO; without TO, into its root.

    With more than one word the last one is TO, on the board; it may begin with ":". A file that is
    there is replaced when the new one is whole and right; interrupted or lost, it resumes when the
    same is put again.

    \b
    Examples:
      mqboard --prefix esp32/test put main.py
      mqboard --prefix esp32/test put a.py b.py :lib/
      mqboard --prefix esp32/test put -r app :
      mqboard --prefix esp32/test put -r . :app
    """
    sources, to = list(paths), "/"
    if len(paths) > 1:
        *sources, to = paths
    with edge.session() as session, progress_bar() as progress:
        count = _put(BoardFiles(session), sources, board_path(to), recursive, progress)
    _report(edge, count)


@click.command("cp")
@click.argument("paths", nargs=-1, required=True, metavar="FROM... TO")
@_recursive
@click.pass_obj
def cp_command(edge: Edge, paths: tuple[str, ...], recursive: bool) -> None:
    """Copy files to the board, from it, or on it: ":" marks what is on the board.

    The same as put, get, and a copy that stays on the board, in mpremote's spelling.

    \b
    Examples:
      mqboard --prefix esp32/test cp a.py :lib/
      mqboard --prefix esp32/test cp :boot.log .
      mqboard --prefix esp32/test cp -r :lib :lib.old
    """
    if len(paths) < 2:
        raise click.UsageError("Say from where, and to where.")
    *sources, to = paths
    sides = {on_board(source) for source in sources}
    if len(sides) > 1 or sides == {False} and not on_board(to):
        raise click.UsageError('Mark what is on the board with ":", all of FROM or none of it.')
    with edge.session() as session, progress_bar() as progress:
        files = BoardFiles(session)
        if sides == {False}:
            count = _put(files, sources, board_path(to), recursive, progress)
        elif on_board(to):
            count = _copy(files, sources, board_path(to), recursive, progress)
        else:
            count = _get(files, sources, to, recursive, progress)
    _report(edge, count)


def _get(
    files: BoardFiles, sources: Sequence[str], to: str, recursive: bool, progress: Progress
) -> int:
    """Get files, and with `recursive` folders; return how many files that were."""
    found = [board_path(source) for source in sources]
    names = [name_of(path) for path in found]
    for path, name in zip(found, names, strict=True):
        if not is_name(name) and not (recursive and not name):
            raise UsageError(f"{shown(path)} cannot be a file's name here. Say another as TO.")
    if recursive and len(found) == 1 and not Path(to).exists():
        places = [Path(to)]  # made, as cp -r does
    else:
        places = local_targets(names, Path(to), to.endswith("/"))
    count = 0
    for path, place in zip(found, places, strict=True):
        there = files.stat(path) if recursive else None
        if there and there.is_folder:
            count += len(get_tree(files, path, place, progress=progress))
        else:
            write_file(place, _read(files, path, progress))
            count += 1
    return count


def _read(files: BoardFiles, path: str, progress: Progress) -> bytes:
    try:
        return files.read(path, progress)
    except FileError as error:
        if error.reason == "EISDIR":
            raise BoardError(f"{shown(path)} is a folder: with -r it is copied, too.") from error
        raise


def _put(
    files: BoardFiles, sources: Sequence[str], to: str, recursive: bool, progress: Progress
) -> int:
    """Put files, and with `recursive` folders; return how many files that were."""
    places = [Path(source) for source in sources]
    for place in places:
        try:
            if place.is_dir() and not recursive:
                raise UsageError(f"{place} is a folder: with -r it is copied, too.")
            if not place.exists():
                raise UsageError(f"{place} is not there.")
        except OSError as error:  # a name that is too long, a folder that is not ours
            raise UsageError(f"{place} cannot be read: {error.strerror}.") from error
    names = [place.resolve().name for place in places]
    alone = recursive and len(places) == 1 and places[0].is_dir()
    # "." is what is in it, as for cp.
    if alone and (Path(sources[0]) == Path() or files.stat(to) is None):
        found = [to]
    else:
        found = targets(files, names, to)
    count = 0
    plain = []
    for place, path in zip(places, found, strict=True):
        if place.is_dir():
            count += len(put_tree(files, place, path, progress=progress))
        else:
            plain.append((path, reader(place)))
    if plain:
        total = sum(place.stat().st_size for place in places if not place.is_dir())
        files.write_all(plain, total=total, progress=progress)
    return count + len(plain)


def _copy(
    files: BoardFiles, sources: Sequence[str], to: str, recursive: bool, progress: Progress
) -> int:
    """Copy on the board; return how many files that were."""
    found = [board_path(source) for source in sources]
    if recursive and len(found) == 1 and files.stat(to) is None:
        places = [to]
    else:
        places = targets(files, [name_of(path) for path in found], to)
    return sum(
        files.cp(path, place, recursive=recursive, progress=progress)
        for path, place in zip(found, places, strict=True)
    )


def _report(edge: Edge, count: int) -> None:
    say(edge.console, f"{count:,} file{'s' * (count != 1)} copied.")
