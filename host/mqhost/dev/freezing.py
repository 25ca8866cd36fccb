"""Makes the firmware of a board like a project that freezes its application: what is saved is
built, and pushed as differences to what the board runs.
"""

import hashlib
import time
from pathlib import Path

from mqhost.build.board import Board
from mqhost.build.build import build
from mqhost.deploy.folder import read_files, read_spec
from mqhost.dev.applying import Done
from mqhost.dev.checking import Checker, is_editors
from mqhost.dev.projectfile import ProjectFile
from mqhost.dev.watching import marks
from mqhost.errors import BuildError, UsageError
from mqhost.link.session import Session
from mqhost.paths import cache_dir
from mqhost.progress import Progress, silent
from mqhost.project.model import Project
from mqhost.signing.offer import load_image
from mqhost.update.push import push


class Frozen:
    """The firmware of the project of `file` on the board of `session`. `progress` is told the
    stages of a build and of an update.
    """

    def __init__(self, session: Session, file: ProjectFile, progress: Progress = silent) -> None:
        self._session = session
        self._file = file
        self._project = file.read()
        self._progress = progress
        self._checkers: dict[Path, Checker] = {}
        self._seen: object = None  # of what the board has the firmware

    @property
    def places(self) -> list[Path]:
        """The folders and files that the firmware is made of."""
        return [self._project.root / name for name in self._project.inputs]

    def refresh(self) -> Done:
        """Build what has changed, and have the board run it, confirmed. UsageError or BuildError
        for what is wrong here, of which nothing is sent; otherwise what an update raises.
        """
        start = time.monotonic()
        # Looked at before it is read: what is saved in between is another change.
        file = marks(self._file.path)
        project = self._project = self._file.read()
        seen = marks(*self.places) | file
        own = project.additions()
        for name in project.frozen:
            self._check(project.root / name)
        if seen == self._seen:
            return Done()
        board = self._board()
        try:
            result = build(
                board,
                output=_output(project, board),
                own=own,
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

    def _check(self, folder: Path) -> None:
        """Raise UsageError for what is no Python in `folder`."""
        if folder not in self._checkers:
            self._checkers[folder] = Checker(folder)
        files = read_files(folder, read_spec(folder))
        files = {path: data for path, data in files.items() if not is_editors(path)}
        self._checkers[folder].check(files)

    def _board(self) -> Board:
        """Return the definition of the board that is there, as its firmware tells it."""
        named = (self._session.status() or {}).get("board")
        if not isinstance(named, str):
            raise UsageError(f"{self._session.prefix} does not say which kind of board it is.")
        return self._project.find_board(named)


def _output(project: Project, board: Board) -> Path:
    """Return a folder of our own: what the user has built stays as it is."""
    key = hashlib.sha256(str(project.root).encode()).hexdigest()[:12]
    return cache_dir() / "dev" / key / board.name
