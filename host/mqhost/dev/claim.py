"""Keeps two `mqboard dev` of this machine from one board: each would undo what the other does."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mqhost import locks
from mqhost.errors import UsageError
from mqhost.paths import state_dir


@contextmanager
def claimed(where: str, prefix: str, folder: Path) -> Iterator[None]:
    """Have the board `prefix` at the broker `where` for `folder` while the `with` block runs, or
    raise UsageError that says who has it.
    """
    name = hashlib.sha256(f"{where}\n{prefix}".encode()).hexdigest()[:16]
    whose = f"process {os.getpid()}, for {folder.resolve()}"
    try:
        with locks.claimed(state_dir() / "dev" / name, whose):
            yield
    except locks.Taken as other:
        raise UsageError(
            f"{prefix} has a mqboard dev already: {str(other) or 'another process'}. End that one "
            "first, or name another board."
        ) from other
