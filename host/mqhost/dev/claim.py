"""Keeps two `mqboard dev` of this machine from one board: each would undo what the other does."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mqhost.errors import UsageError
from mqhost.paths import state_dir


@contextmanager
def claimed(where: str, prefix: str, folder: Path) -> Iterator[None]:
    """Have the board `prefix` at the broker `where` for `folder` while the `with` block runs, or
    raise UsageError that says who has it. The kernel frees it, however its holder ends.
    """
    name = hashlib.sha256(f"{where}\n{prefix}".encode()).hexdigest()[:16]
    path = state_dir() / "dev" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UsageError(
                f"{prefix} has a mqboard dev already: {file.read() or 'another process'}. End that "
                "one first, or name another board."
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()}, for {folder.resolve()}")
        file.flush()
        yield
