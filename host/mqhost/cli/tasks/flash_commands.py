"""Carries out `invoke flash` and `invoke provision`, and prints the sentence they end in.

Options that were not given are empty texts, as Invoke has them.
"""

from pathlib import Path

from rich.console import Console

from mqhost.build import board as boards
from mqhost.build.board import Board
from mqhost.cli.terminal.display import Display
from mqhost.cli.terminal.printing import say
from mqhost.cli.terminal.questions import Questions, replacing
from mqhost.errors import UsageError
from mqhost.link.boardconfig import Wish
from mqhost.usb.flashing import Firmware, flash
from mqhost.usb.provision import Provision, provision, write_file


def run_flash(
    board_name: str,
    port: str,
    console: Console,
    *,
    erase: bool = False,
    baud: int = 0,
    burn: bool = False,
) -> None:
    """Flash the build of a board."""
    board = boards.find(board_name)
    with Display(console, {}) as display:
        done = flash(
            board,
            port or None,
            erase=erase,
            baud=baud or None,
            burn=burn,
            progress=display.show,
        )
    say(console, done)
    _tell_first_boot(console, board)


def run_provision(
    board_name: str,
    port: str,
    wish: Wish,
    console: Console,
    *,
    config: str = "",
    ca: str = "",
    cert: str = "",
    key: str = "",
    output: str = "",
    firmware: bool = False,
    force: bool = False,
    baud: int = 0,
    setup: bool = False,
    burn: bool = False,
    questions: Questions | None = None,
) -> None:
    """Provision a chip, or write the image into the file `output`."""
    board = boards.find(board_name)
    built = Firmware.load(board) if firmware else None
    questions = questions or Questions.at_terminal()
    files = {"config": _path(config), "ca": _path(ca), "cert": _path(cert), "key": _path(key)}
    modules = built.modules if built else {}
    what = Provision.make(wish, **files, setup=setup, modules=modules, secret=questions.secret)
    for note in what.notes:
        say(console, note)
    if output:
        if port:
            raise UsageError("--output writes a file, --port a chip. Give one of the two.")
        say(console, write_file(board, what, Path(output), firmware=built))
        _tell_label(console, what, setup)
        return

    def write(force: bool) -> str:
        with Display(console, {}) as display:
            return provision(
                board,
                what,
                port or None,
                firmware=built,
                force=force,
                baud=baud or None,
                burn=burn,
                progress=display.show,
            )

    say(console, replacing(write, force, questions))
    if firmware:
        _tell_first_boot(console, board)
    _tell_label(console, what, setup)


def _tell_first_boot(console: Console, board: Board) -> None:
    """Say what a secured board does now."""
    if board.secure:
        say(console, "It boots now and burns its eFuses. Keep it on until it is at its broker.")


def _tell_label(console: Console, what: Provision, setup: bool) -> None:
    """Say the password of the setup network: this once, for a label on the board."""
    if setup:
        say(console, f"Its setup network is mqboard-…, the password {what.setup_key}")


def _path(text: str) -> Path | None:
    return Path(text) if text else None
