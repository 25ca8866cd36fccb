"""Makes the work of jobs that change a board's files, told by a sentence and a record.

Who edits a file has seen it: what somebody else has made of it meanwhile is not written over.
"""

import hashlib

from mqhost.errors import RefusedError, UsageError
from mqhost.fleet.server.secretfiles import normal
from mqhost.fleet.server.working.jobs import Done, Work
from mqhost.link.session import Session
from mqhost.progress import Progress
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.records import Entry

NOTHING = "none"  # in place of a hash: there was no such file
_KEPT = ("/", "/config.json")


def check_goes(path: str) -> None:
    """Raise UsageError for what is neither removed nor moved from afar."""
    if normal(path) in _KEPT:
        raise UsageError(
            f"{normal(path)} stays: without it nobody would reach the board. Its configuration is "
            "changed key by key, or as a whole: the board tries it then."
        )


def putting(path: str, data: bytes, was: str | None) -> Work:
    """Write a file, whole or not at all. `was`: the SHA-256 (hex) of what has to be there, or
    NOTHING; None: whatever is there is replaced.
    """

    def work(session: Session, progress: Progress) -> Done:
        files = BoardFiles(session)
        progress("compare", 0, 0)
        sha256 = hashlib.sha256(data).hexdigest()
        if was is not None:
            there = files.stat(path, sha=True)
            if there and there.sha256 == sha256:
                return _put(path, len(data), sha256)
            _check_same(path, there, was)
        files.write(path, data, progress=progress)
        return _put(path, len(data), sha256)

    return work


def removing(path: str, recursive: bool) -> Work:
    """Remove a file, or with `recursive` a folder with all that is in it."""

    def work(session: Session, progress: Progress) -> Done:
        progress("remove", 0, 0)
        count = BoardFiles(session).rm([path], recursive=recursive, progress=progress)
        text = f"{path} is removed" + (f", {count:,} files and folders." if count > 1 else ".")
        return Done(text, {"path": path, "removed": count})

    return work


def making(path: str) -> Work:
    """Make a folder."""

    def work(session: Session, progress: Progress) -> Done:
        progress("make", 0, 0)
        BoardFiles(session).mkdir([path])
        return Done(f"The folder {path} is made.", {"path": path})

    return work


def moving(path: str, to: str, replace: bool) -> Work:
    """Move or rename a file or a folder; with `replace` a file that has that name goes."""

    def work(session: Session, progress: Progress) -> Done:
        progress("move", 0, 0)
        files = BoardFiles(session)
        if not replace and files.stat(to):
            raise RefusedError(f"{to} is there already: remove it first, or choose another name.")
        files.mv(path, to)
        return Done(f"{path} is {to} now.", {"path": to})

    return work


def _put(path: str, size: int, sha256: str) -> Done:
    return Done(f"{path} is put, {size:,} B.", {"path": path, "size": size, "sha256": sha256})


def _check_same(path: str, there: Entry | None, was: str) -> None:
    """Raise RefusedError if something else is `there` than was seen."""
    if was == NOTHING and there:
        raise RefusedError(f"{path} is there already: nothing was written.")
    if was != NOTHING and (there is None or there.sha256 != was):
        what = "removed" if there is None else "changed"
        raise RefusedError(
            f"{path} was {what} on the board since you saw it: nothing was written. Keep what you "
            "wrote, look at the file again, and put both together."
        )
