"""Defines `mqboard mount`: a folder of this computer that the board imports from."""

import getpass
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import click

from mqhost.cli.edge import Edge, local_files, raw_option, to_stderr
from mqhost.cli.prompt.screen import Screen
from mqhost.cli.repl.follow import follow
from mqhost.cli.terminal.printing import Output
from mqhost.errors import UsageError
from mqhost.link.session import Session
from mqhost.mount import Folder, Mount
from mqhost.repl.running import start
from mqhost.repl.source import read_file
from mqwire import mount as wire

_WORDS = "Behind DIR can stand: repl, exec CODE, or run FILE [ARGUMENTS]."


@click.command("mount", context_settings={"allow_interspersed_args": False})
@click.option("--mpy", is_flag=True, help="Compile Python files on the way: needs mpy-cross.")
@raw_option
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument(
    "words",
    metavar="[repl|exec CODE|run FILE [ARGUMENTS]]",
    nargs=-1,
    shell_complete=local_files,
)
@click.pass_context
def mount_command(
    context: click.Context, folder: Path, words: tuple[str, ...], mpy: bool, raw: bool
) -> None:
    """Let the board import from the folder DIR of this computer: edit, Ctrl-D, run.

    It opens a prompt as mqboard repl does, with DIR at /remote on the board, first in sys.path, to
    be read only. Ctrl-D lets go of what was imported from there and of all names, so that the next
    import brings what you have edited; at a fresh prompt it leaves. With exec or run behind DIR
    there is no prompt. Nothing is stored on the board.

    \b
    Examples:
      mqboard --prefix esp32/test mount src
      mqboard --prefix esp32/test mount src exec 'import app; app.main()'
      mqboard --prefix esp32/test mount --mpy src run try.py
    """
    edge: Edge = context.obj
    what, *rest = words or ("repl",)
    if what not in ("repl", "exec", "run") or (what == "repl") != (not rest):
        raise UsageError(_WORDS)
    if what == "exec" and len(rest) > 1:
        raise UsageError(f"{_WORDS} CODE is one word: quote it.")
    served = Folder(folder, mpy)
    source = read_file(Path(rest[0])) if what == "run" else ""
    with edge.session() as session, Kept(session, served, to_stderr) as kept:
        output = edge.output(raw)
        if what == "run":
            name = Path(rest[0]).name
            argv = [name, *rest[1:]]
            run = start(session, source, show=False, file=name, argv=argv)
            follow(edge, run, output)
        elif what == "exec" or not sys.stdin.isatty():
            source = edge.text_argument(rest[0] if rest else "-")
            follow(edge, start(session, source, show=False), output)
        else:
            context.exit(_talk(session, output, kept))


def _talk(session: Session, output: Output, kept: "Kept") -> int:
    from mqhost.cli.prompt.talk import Talk  # prompt_toolkit: an eighth of a second

    return Talk(session, Screen(output), kept).run()


class Kept:
    """A mount of `folder` that is made again when it is over; `note` is told. A context manager."""

    def __init__(self, session: Session, folder: Folder, note: Callable[[str], None]) -> None:
        self._session = session
        self._folder = folder
        self._note = note
        self._mount = self._made()

    def __enter__(self) -> "Kept":
        self._mount.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._mount.__exit__(None, None, None)

    def _made(self) -> Mount:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):  # a user without a name, as in containers
            name = "somebody"
        return Mount(self._session, self._folder, f"{name}@{socket.gethostname()}")

    def greeting(self) -> str:
        """Say what the board imports from."""
        return (
            f"{self._folder.path} is at {wire.PATH} on the board. After an edit Ctrl-D begins "
            "anew; at a fresh prompt it leaves."
        )

    def refresh(self) -> None:
        """Have the board know the folder as it is now, and have it mounted."""
        if not self._mount.over:
            self._mount.update()
        if why := self._mount.over:
            self._mount.__exit__(None, None, None)
            self._mount = self._made()
            self._mount.__enter__()
            self._note(f"{wire.PATH} was gone ({why}), and is mounted again.")

    def start_anew(self) -> None:
        """Have the board let go of what it has imported from the folder, and of all names."""
        self._mount.start_anew()
