"""Opens what somebody wants proven: a build's folder, one image in it, or a bundle in a zip file.

`open_evidence` gives the bytes of a build's files by their names, and nothing else: no link is
followed out of a zip file, nothing that is no plain file is opened, nothing is read without end.
"""

import os
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mqhost.artifacts.bundle import NAMES, BundleError, limit_of, read_zip
from mqhost.errors import ProofError, UsageError

_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Opened:
    """A build's files by their names; `where`: what they were read from, for people."""

    where: str
    files: Mapping[str, bytes]


def open_evidence(path: Path) -> Opened:
    """Return the files of the build that `path` names: a folder, a file in one, or a zip file.

    Raises UsageError if there is nothing of that name, ProofError if it cannot be trusted.
    """
    try:
        return _opened(path)
    except (BundleError, zipfile.BadZipFile) as error:
        raise ProofError(str(error)) from error
    except OSError as error:
        raise UsageError(
            f"{error.filename or path} cannot be read: {error.strerror or error}. Name an app.bin, "
            "the folder that it is in, or a bundle's zip file."
        ) from error


def _opened(path: Path) -> Opened:
    if path.is_dir():
        return Opened(str(path), _folder(path))
    begins = _read(path, len(_ZIP), cut=True)
    if begins == _ZIP and path.name not in NAMES:  # an app.bin is one, whatever is packed in it
        return Opened(path.name, read_zip(path))
    if path.suffix == ".zip":
        raise ProofError(f"{path} is no zip file: it is damaged, or something else.")
    if path.name not in NAMES:
        raise UsageError(
            f"{path} is neither a bundle's zip file nor one of a build's files "
            f"({', '.join(NAMES)}). Name one of those, or the folder."
        )
    return Opened(str(path.parent), _folder(path.parent))


def _folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a build in `folder`."""
    files = {}
    for name in NAMES:
        if os.path.lexists(folder / name):
            files[name] = _read(folder / name, limit_of(name))
    return files


def _read(path: Path, limit: int, cut: bool = False) -> bytes:
    """Return the bytes of a plain file, of at most `limit`; with `cut` only so many of them."""
    # Without O_NONBLOCK a pipe would be waited for, for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ProofError(f"{path} is no plain file: it is not what a build wrote.")
        data = file.read(limit if cut else limit + 1)
    if len(data) > limit:
        raise ProofError(f"{path} has more than {limit:,} B, which no build writes.")
    return data
