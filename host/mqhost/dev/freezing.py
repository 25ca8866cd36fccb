"""Makes the firmware of a board like a project that freezes its application: what is saved is
built, and pushed as differences to what the board runs.
"""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

from mqhost.build.board import Board
from mqhost.build.build import build
from mqhost.deploy.folder import read_files, read_spec
from mqhost.dev.applying import Done
from mqhost.dev.checking import Checker, is_editors
from mqhost.dev.watching import marks
from mqhost.errors import BuildError, UsageError
from mqhost.link.session import Session
from mqhost.paths import cache_dir
from mqhost.progress import Progress, silent
from mqhost.project.model import Project
from mqhost.signing.offer import load_image
from mqhost.update.push import push


class Frozen:
    """The firmware of `project` on the board of `session`. `progress` is told the stages of a build
    and of an update.
    """

    def __init__(self, session: Session, project: Project, progress: Progress = silent) -> None:
        self._session = session
        self._project = project
        self._progress = progress
        self._checkers = {name: Checker(project.root / name) for name in project.frozen}
        self._seen: object = None  # of what the board has the firmware

    def refresh(self) -> Done:
        """Build what has changed, and have the board run it, confirmed. UsageError or BuildError
        for what is wrong here, of which nothing is sent; otherwise what an update raises.
        """
        start = time.monotonic()
        for name, checker in self._checkers.items():
            folder = self._project.root / name
            files = read_files(folder, read_spec(folder))
            checker.check({path: data for path, data in files.items() if not is_editors(path)})
        seen = marks(*places(self._project))
        if seen == self._seen:
            return Done()
        board = self._board()
        try:
            result = build(
                board,
                output=_output(self._project, board),
                own=self._project.additions(),
                progress=self._progress,
            )
        except OSError as error:  # a file may have gone while it was read
            raise BuildError(
                f"{error.filename or 'A file'} cannot be read: {error.strerror}. Nothing was sent; "
                "it is built again when something is saved."
            ) from error
        done = push(self._session, *load_image(result.app), progress=self._progress)
        self._seen = seen
        if done.already:
            return Done()
        seconds = time.monotonic() - start
        return Done(size=done.bytes_sent, version=done.new_version, seconds=seconds)

    def _board(self) -> Board:
        """Return the definition of the board that is there, as its firmware tells it."""
        named = (self._session.status() or {}).get("board")
        if not isinstance(named, str):
            raise UsageError(f"{self._session.prefix} does not say which kind of board it is.")
        return self._project.find_board(named)


def places(project: Project) -> Iterator[Path]:
    """Yield the folders and files that the firmware of a project is made of."""
    for name in project.additions().inputs:
        yield project.root / name


def _output(project: Project, board: Board) -> Path:
    """Return a folder of our own: what the user has built stays as it is."""
    key = hashlib.sha256(str(project.root).encode()).hexdigest()[:12]
    return cache_dir() / "dev" / key / board.name
