"""Keeps what comes from a board within one folder of this machine, whatever names the board sends.

A path of the board's becomes one below the folder, or is refused: with `..`, with what this machine
takes for more than a name, or through a symbolic link, which may lead anywhere. A file is there
whole or as it was.
"""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from mqhost.errors import BoardError, UsageError

_NOT_IN_NAMES = "\0/\\" if os.name == "nt" else "\0/"
_NOT_ON_WINDOWS = ':*?"<>|'
_DEVICES = Path("/dev")


class Landing:
    """The folder `root`, which need not be there yet, for what comes from a board."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, path: str) -> Path:
        """Return where `path`, the board's, lies; BoardError if that would not be in the folder."""
        place = self.root
        names = path.split("/")
        for name in names:
            if not is_name(name):
                raise BoardError(
                    f"The board names a file {path!r:.200}, which cannot be one in {self.root}. "
                    "Nothing was written outside of it."
                )
            if place != self.root and place.is_symlink():
                raise BoardError(
                    f"{place} is a symbolic link, which may lead out of {self.root}: "
                    f"{path!r:.200} is not written there. Remove the link, or choose another "
                    "folder."
                )
            place = place / name
        return place

    def make_folder(self, path: str) -> None:
        """Make the folder `path`, and those that it is in."""
        place = self.place(path)
        if place.is_symlink():
            place = self.place(path + "/x").parent  # says why not
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(place, error) from error

    def write(self, path: str, data: bytes) -> Path:
        """Write the file `path`, in the place of the file or link that is there; return it."""
        place = self.place(path)
        write_file(place, data, parents=True)
        return place


def is_name(name: str) -> bool:
    """Return whether `name` is one name on this machine, of a file or a folder."""
    if name in ("", ".", "..") or any(character in name for character in _NOT_IN_NAMES):
        return False
    if os.name == "nt":
        return not any(sign in name for sign in _NOT_ON_WINDOWS) and name[-1] not in ". "
    return True


def write_named(place: Path, data: bytes) -> None:
    """Write `data` to `place`, which was named here: a device or a pipe stays, and takes the bytes.

    So /dev/stdout can be named, and /dev/null is never replaced by a file.
    """
    if not _is_special(place):
        write_file(place, data)
        return
    try:
        place.write_bytes(data)
    except OSError as error:
        raise cannot_write(place, error) from error


def _is_special(place: Path) -> bool:
    if _DEVICES in place.absolute().parents:
        return True
    return place.exists() and not place.is_file() and not place.is_dir()


def write_file(place: Path, data: bytes, *, parents: bool = False) -> None:
    """Write `data` to the file `place`: whole, or it stays as it was. UsageError if it cannot be.

    A symbolic link is replaced, and not followed. Who may read a file that is there stays as it is;
    for a new one the umask says it.
    """
    try:
        if parents:
            place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir() and not place.is_symlink():
            raise IsADirectoryError(21, "there is a folder of that name")
        handle, unfinished = tempfile.mkstemp(prefix=".mqboard-", dir=place.parent)
        try:
            with open(handle, "wb") as file:
                file.write(data)
            os.chmod(unfinished, _permissions(place))
            os.replace(unfinished, place)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise
    except (OSError, ValueError) as error:
        raise cannot_write(place, error) from error


def _permissions(place: Path) -> int:
    if place.is_file() and not place.is_symlink():
        return stat.S_IMODE(place.stat().st_mode)
    umask = os.umask(0o077)  # it is only told by being set
    os.umask(umask)
    return 0o666 & ~umask


def cannot_write(place: Path, error: OSError | ValueError) -> UsageError:
    """Make the error for a file that cannot be written here."""
    reason = getattr(error, "strerror", None) or error
    return UsageError(f"{place} cannot be written: {reason}.")
