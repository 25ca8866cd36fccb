"""Locks out other processes while a `with` block runs, by a lock on a file.

The kernel frees it when its holder ends, however that happens, so a lock is never left behind.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mqhost.progress import Progress, silent


class Taken(Exception):
    """Raised where another process has the lock; its text is what that has said of itself."""


@contextmanager
def locked(path: Path, progress: Progress = silent) -> Iterator[None]:
    """Hold the lock of file `path` (made if missing); wait for another process to leave it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another run that uses the same folder", 0, 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def claimed(path: Path, whose: str) -> Iterator[None]:
    """Hold the lock of file `path` (made if missing), and say there `whose` it is; raises Taken
    where another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise Taken(file.read()) from error
        file.truncate(0)
        file.write(whose)
        file.flush()
        yield
