"""Defines the commands that carry files between this machine and a board: get, put, cp."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mqhost.cli.edge import Edge, local_files
from mqhost.cli.files.places import (
    board_path,
    local_targets,
    name_of,
    on_board,
    progress_bar,
    targets,
)
from mqhost.cli.terminal.printing import json_text, say
from mqhost.errors import BoardError, UsageError
from mqhost.progress import Progress
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.faults import FileError, shown
from mqhost.remote.landing import is_name, write_named
from mqhost.remote.records import Carried
from mqhost.remote.trees import absolute, copied, get_tree, got, put_files, put_tree

_recursive = click.option(
    "-r", "recursive", is_flag=True, help="Folders, with all that is in them."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print what was copied as JSON.")


@click.command("get")
@click.argument("paths", nargs=-1, required=True, metavar="PATH... [TO]")
@_recursive
@_json
@click.pass_obj
def get_command(edge: Edge, paths: tuple[str, ...], recursive: bool, as_json: bool) -> None:
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
        done = _get(BoardFiles(session), sources, to, recursive, progress)
    _report(edge, done, as_json)


@click.command("put")
@click.argument(
    "paths", nargs=-1, required=True, metavar="FILE... [TO]", shell_complete=local_files
)
@_recursive
@_json
@click.pass_obj
def put_command(edge: Edge, paths: tuple[str, ...], recursive: bool, as_json: bool) -> None:
    """Put files on the board: into the folder TO, or as the file TO; without TO, into its root.

    With more than one word the last one is TO, on the board; it may begin with ":". A folder TO is
    there already, but for a single one that is put with -r, which becomes TO. A file that is
    there is replaced when the new one is whole and right; interrupted or lost, it resumes when the
    same is put again.

    \b
    Examples:
      mqboard --prefix esp32/test put main.py
      mqboard --prefix esp32/test put a.py b.py :
      mqboard --prefix esp32/test put -r app :
      mqboard --prefix esp32/test put -r . :app
    """
    sources, to = list(paths), "/"
    if len(paths) > 1:
        *sources, to = paths
    with edge.session() as session, progress_bar() as progress:
        done = _put(BoardFiles(session), sources, board_path(to), recursive, progress)
    _report(edge, done, as_json)


@click.command("cp")
@click.argument("paths", nargs=-1, required=True, metavar="FROM... TO", shell_complete=local_files)
@_recursive
@_json
@click.pass_obj
def cp_command(edge: Edge, paths: tuple[str, ...], recursive: bool, as_json: bool) -> None:
    """Copy files to the board, from it, or on it: ":" marks what is on the board.

    The same as put, get, and a copy that stays on the board, in mpremote's spelling.

    \b
    Examples:
      mqboard --prefix esp32/test cp a.py :main.py
      mqboard --prefix esp32/test cp :boot.log .
      mqboard --prefix esp32/test cp -r :lib :lib.old
    """
    if len(paths) < 2:
        raise click.UsageError("Say from where, and to where.")
    *sources, to = paths
    sides = {on_board(source) for source in sources}
    if len(sides) > 1 or sides == {False} and not on_board(to):
        raise click.UsageError('Mark what is on the board with ":", all of FROM or none of it.')
    count = None
    with edge.session() as session, progress_bar() as progress:
        files = BoardFiles(session)
        if sides == {False}:
            done = _put(files, sources, board_path(to), recursive, progress)
        elif on_board(to):
            places = _places(files, sources, board_path(to), recursive)
            count = sum(files.cp(*each, recursive=recursive, progress=progress) for each in places)
            done = [file for each in places for file in copied(files, *each)] if as_json else []
        else:
            done = _get(files, sources, to, recursive, progress)
    _report(edge, done, as_json, count)


def _get(
    files: BoardFiles, sources: Sequence[str], to: str, recursive: bool, progress: Progress
) -> list[Carried]:
    """Get files, and with `recursive` folders; return the files."""
    found = [board_path(source) for source in sources]
    names = [name_of(path) for path in found]
    for path, name in zip(found, names, strict=True):
        if not is_name(name) and not (recursive and not name):
            raise UsageError(f"{shown(path)} cannot be a file's name here. Say another as TO.")
    if recursive and len(found) == 1 and not Path(to).exists():
        places = [Path(to)]  # made, as cp -r does
    else:
        places = local_targets(names, Path(to), to.endswith("/"))
    done = []
    for path, place in zip(found, places, strict=True):
        there = files.stat(path) if recursive else None
        if there and there.is_folder:
            done += get_tree(files, path, place, progress=progress)
        else:
            data = _read(files, path, progress)
            write_named(place, data)
            done.append(got(path, data, place))
    return done


def _read(files: BoardFiles, path: str, progress: Progress) -> bytes:
    try:
        return files.read(path, progress)
    except FileError as error:
        if error.reason == "EISDIR":
            raise BoardError(f"{shown(path)} is a folder: with -r it is copied, too.") from error
        raise


def _put(
    files: BoardFiles, sources: Sequence[str], to: str, recursive: bool, progress: Progress
) -> list[Carried]:
    """Put files, and with `recursive` folders; return the files."""
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
    done = []
    plain = {}
    for place, path in zip(places, found, strict=True):
        if place.is_dir():
            done += put_tree(files, place, path, progress=progress)
        else:
            plain[path] = place
    if plain:
        total = sum(place.stat().st_size for place in plain.values())
        done += put_files(files, plain, total=total, progress=progress)
    return done


def _places(
    files: BoardFiles, sources: Sequence[str], to: str, recursive: bool
) -> list[tuple[str, str]]:
    """Return from where to where on the board things are copied there."""
    found = [board_path(source) for source in sources]
    if recursive and len(found) == 1 and files.stat(to) is None:
        places = [to]
    else:
        places = targets(files, [name_of(path) for path in found], to)
    return list(zip(found, places, strict=True))


def record(done: Carried) -> dict[str, Any]:
    """Return a file that was copied as JSON has it: paths on the board from its root."""
    told: dict[str, Any] = {"path": absolute(done.path), "size": done.size, "sha256": done.sha256}
    if done.source is not None:
        return told | {"from": absolute(done.source)}
    return told | {"local": str(done.local), "resumed": done.resumed}


def _report(edge: Edge, done: list[Carried], as_json: bool, count: int | None = None) -> None:
    count = len(done) if count is None else count
    text = f"{count:,} file{'s' * (count != 1)} copied."
    say(edge.console, json_text([record(each) for each in done]) if as_json else text)
