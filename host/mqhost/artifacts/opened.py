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

from mqhost.artifacts.bundle import APP, FLASH, NAMES, BundleError, read_zip
from mqhost.errors import ProofError, UsageError

_MIB = 1024 * 1024
_LIMITS = {APP: 64 * _MIB, FLASH: 64 * _MIB}  # the largest flash is 32 MiB
_LIMIT = 16 * _MIB  # of what is text
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
        if path.is_dir():
            return Opened(str(path), _folder(path))
        if _read(path, len(_ZIP), cut=True) == _ZIP:
            return Opened(path.name, _limited(path.name, read_zip(path)))
    except (BundleError, zipfile.BadZipFile) as error:
        raise ProofError(str(error)) from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror or error}. Name an app.bin, the folder that "
            "it is in, or a bundle's zip file."
        ) from error
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
            files[name] = _read(folder / name, _LIMITS.get(name, _LIMIT))
    return files


def _limited(where: str, files: dict[str, bytes]) -> dict[str, bytes]:
    for name, data in files.items():
        _check_size(f"{where}: {name}", len(data), _LIMITS.get(name, _LIMIT))
    return files


def _read(path: Path, limit: int, cut: bool = False) -> bytes:
    """Return the bytes of a plain file, of at most `limit`; with `cut` only so many of them."""
    # Without O_NONBLOCK a pipe would be waited for, for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ProofError(f"{path} is no plain file: it is not what a build wrote.")
        data = file.read(limit if cut else limit + 1)
    _check_size(str(path), len(data), limit)
    return data


def _check_size(where: str, size: int, limit: int) -> None:
    if size > limit:
        raise ProofError(f"{where} has more than {limit:,} B, which no build writes.")
