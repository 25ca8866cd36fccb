"""Defines the command that edits a file of a board with the editor of this machine: edit."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import click

from mqhost.cli.edge import Edge, to_stderr
from mqhost.cli.files.places import board_path, name_of, progress_bar
from mqhost.cli.terminal.printing import clean, say
from mqhost.errors import RefusedError, ToolError, UsageError
from mqhost.progress import Progress
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.faults import FileError, shown
from mqhost.remote.landing import is_name


@click.command("edit")
@click.argument("path")
@click.pass_obj
def edit_command(edge: Edge, path: str) -> None:
    """Edit a file of the board with VISUAL or EDITOR, and put it back if it was changed.

    A file that is not there is made. Nothing is put when somebody else has changed it meanwhile;
    what you wrote is then kept here, and where is said.

    \b
    Examples:
      mqboard --prefix esp32/test edit :main.py
    """
    path = board_path(path)
    name = name_of(path)
    if not is_name(name):
        raise UsageError(f"{shown(path)} cannot be a file's name here. Get it under another one.")
    with edge.session() as session, progress_bar() as progress:
        before = _read(BoardFiles(session), path, progress)
    place = Path(tempfile.mkdtemp(prefix="mqboard-")) / name
    place.write_bytes(before or b"")
    try:
        # Without a connection: an editor may be open for days.
        _open_editor(place)
        after = place.read_bytes()
        changed = after != (before or b"")
        if changed:
            with edge.session() as session, progress_bar() as progress:
                files = BoardFiles(session)
                there = files.stat(path, sha=True)
                if (there and there.sha256) != (None if before is None else _hash(before)):
                    raise RefusedError(f"{shown(path)} was changed on the board meanwhile.")
                files.write(path, after, progress=progress)
    except BaseException:
        if place.is_file() and place.read_bytes() == (before or b""):
            shutil.rmtree(place.parent)
        else:
            to_stderr(f"The file as you left it is {place}.")
        raise
    shutil.rmtree(place.parent)
    if changed:
        text = f"is put, {len(after):,} B"
    else:
        text = "was not made: it is empty" if before is None else "was not changed"
    say(edge.console, f"{clean(shown(path))} {text}.")


def _open_editor(place: Path) -> None:
    try:
        click.edit(filename=str(place))
    except click.ClickException as error:
        text = f"{error.format_message()}. VISUAL, or else EDITOR, names the editor."
        raise ToolError(text) from error


def _read(files: BoardFiles, path: str, progress: Progress) -> bytes | None:
    """Return what is in the file; None if there is none."""
    try:
        return files.read(path, progress)
    except FileError as error:
        if error.reason == "ENOENT":
            return None
        raise


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
