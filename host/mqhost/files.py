"""Replaces files whole: a reader sees the old bytes or the new ones, never half. Says for people
why a file cannot be used.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mqhost.errors import UsageError
from mqhost.paths import cache_dir


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to the file `path`, in the place of what is there."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            file.write(data)
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


@contextmanager
def writing() -> Iterator[None]:
    """Raise UsageError where what the block makes or writes cannot be."""
    try:
        yield
    except OSError as error:
        told = unusable(error, "written")
        if told is None:
            raise
        raise told from error


def unusable(error: OSError, done: str = "used") -> UsageError | None:
    """Return the error for people that `error` is, where it names a file which cannot be `done`;
    None if it is about something else, as a connection.
    """
    if not isinstance(error.filename, str | bytes):
        return None
    path = Path(os.fsdecode(error.filename))
    there = next((at for at in (path, *path.parents) if os.path.lexists(at)), path)
    inside = path.absolute().is_relative_to(cache_dir())
    other = ", or set MQBOARD_CACHE to another folder" if inside else ""
    return UsageError(
        f"{path} cannot be {done}: {error.strerror}. See what {there} is, and whose (ls -ld; "
        f"chown makes it yours){other}, and run it again."
    )
