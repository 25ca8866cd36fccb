"""Finds MicroPython's sources for a build: a release, Debian's source package, or a checkout.

`find_source` returns a folder with MicroPython's sources. A release ("v1.28.0") is cloned, see
upstream.py. Debian's package ("1.25.0+ds-1") is downloaded through apt from the mirror that the
machine itself uses, checked against the hashes below, unpacked into a temporary folder and renamed:
an interrupted run leaves nothing half done, and whatever is damaged there or in the download folder
is made again. A folder given by the user is only read.

A board with a fall-back, as the simulated one, is built from its release where there is a clone
already, made for whichever board, and else from what it falls back to: a clone of a hundred
megabytes is not begun just to try a board on the desk.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mqhost import packages
from mqhost.build.board import Board
from mqhost.build.sources import upstream
from mqhost.build.sources.integrity import intact, record
from mqhost.errors import ToolError, UsageError
from mqhost.files import writing
from mqhost.locks import locked
from mqhost.paths import cache_dir
from mqhost.progress import Progress, silent

OLDEST = (1, 25)
# Says which sources boards with a fall-back are built from: a folder, or the name of a release.
VARIABLE = "MQBOARD_SIM_MICROPYTHON"
CHECKOUT = "checkout"  # the origin of a folder that was given

_POOL = "pool/main/m/micropython/"
# The files of Debian's source packages, by package version, with their SHA-256.
DEBIAN: Mapping[str, Mapping[str, str]] = {
    "1.25.0+ds-1": {
        "micropython_1.25.0+ds-1.dsc": (
            "8c7c406be88a6f3bc19e694eb0bbc5841112243fdf2b5a296e000d8fdc5f3c34"
        ),
        "micropython_1.25.0+ds.orig.tar.xz": (
            "7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea"
        ),
        "micropython_1.25.0+ds-1.debian.tar.xz": (
            "87cd89f7900c86b963885dabe25acf3e5348815993f1500278ad8f6464465af4"
        ),
    }
}

DEBIAN_ORIGIN = "Debian "  # how the origin of its packages begins

_HELPER = "/usr/lib/apt/apt-helper"
_TIMEOUT = 300
_ALTERNATIVE = "Or give a MicroPython checkout: --micropython DIR"
_VERSION = re.compile(rb"^#define MICROPY_VERSION_(MAJOR|MINOR|MICRO)\s+\(?(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """A folder with MicroPython's sources; `version` as "1.25.0", `origin` for people."""

    path: Path
    version: str
    origin: str


def find_source(
    board: Board, micropython: Path | str | None = None, progress: Progress = silent
) -> Source:
    """Return the sources to build `board` from: `micropython`, a folder or the name of a release,
    if given; else what the environment says; else the board's release or its fall-back.

    Raises UsageError if a folder is no MicroPython of a known kind, ToolError if the release cannot
    be had.
    """
    chosen, why = _choose(board, micropython)
    name = str(chosen) if isinstance(chosen, Path) else _origin(chosen)
    if why:
        progress(f"MicroPython: {name}{why}", 0, 0)
    if isinstance(chosen, Path):
        return Source(chosen.resolve(), check_checkout(chosen), CHECKOUT)
    path = release_source(chosen, progress)
    return Source(path, check_checkout(path), name)


def planned_source(board: Board, micropython: Path | str | None = None) -> Source:
    """Return the source that `find_source` would give, which may not be there yet."""
    chosen, _ = _choose(board, micropython)
    if isinstance(chosen, Path):
        return find_source(board, chosen)
    if chosen.startswith("v"):
        return Source(upstream.release_folder(chosen), chosen[1:], _origin(chosen))
    return Source(_unpacked(chosen), chosen.partition("+")[0], _origin(chosen))


def release_source(release: str, progress: Progress = silent) -> Path:
    """Return the folder with MicroPython's or Debian's `release`, brought when needed."""
    if release.startswith("v"):
        return upstream.release_source(release, progress)
    return debian_source(release, progress)


def check_checkout(folder: Path) -> str:
    """Return the version of the MicroPython in `folder`; UsageError if none, or too old."""
    header = folder / "py" / "mpconfig.h"
    try:
        found = dict(_VERSION.findall(header.read_bytes()))
        numbers = tuple(int(found[part]) for part in (b"MAJOR", b"MINOR", b"MICRO"))
    except (OSError, KeyError) as error:
        raise UsageError(
            f"{folder} is no MicroPython checkout: {header} does not tell a version. "
            "Give the folder that contains py/ and ports/."
        ) from error
    version = ".".join(map(str, numbers))
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UsageError(
            f"{folder} is MicroPython {version}; MQBoard needs {oldest} or newer. "
            "Check out a newer release there."
        )
    return version


def debian_source(release: str, progress: Progress = silent) -> Path:
    """Return the folder with Debian's source package `release`, fetched when needed."""
    files = DEBIAN.get(release)
    if files is None:
        raise UsageError(
            f"There are no pinned hashes for Debian's micropython {release}; "
            f"known: {', '.join(DEBIAN)}. {_ALTERNATIVE}"
        )
    unpacked = _unpacked(release)
    with writing(), locked(unpacked.parent / ".lock", progress):
        if not intact(unpacked):
            shutil.rmtree(unpacked, ignore_errors=True)
            packages.ensure("source", say=lambda line: progress(line, 0, 0))
            downloads = cache_dir() / "download"
            fetch(files, downloads, progress)
            progress("unpacking MicroPython", 0, 0)
            _unpack(next(downloads / name for name in files if name.endswith(".dsc")), unpacked)
    return unpacked


def fetch(files: Mapping[str, str], folder: Path, progress: Progress = silent) -> None:
    """Download `files` (name → SHA-256) of the source package into `folder`, unless whole there."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [name for name, digest in files.items() if _digest(folder / name) != digest]
    for done, name in enumerate(wanted):
        progress("downloading MicroPython", done, len(wanted))
        _download(name, files[name], folder)
    if wanted:
        progress("downloading MicroPython", len(wanted), len(wanted))


def mirrors() -> list[str]:
    """Return the Debian archives in this machine's apt sources, ending with a slash, best first."""
    result = _run(["apt-get", "update", "--print-uris"])
    found = re.findall(r"^'(\S+?/)dists/([^/']+)/", result.stdout, re.MULTILINE)
    # The archive proper comes before those that hold only security updates.
    ordered = sorted(found, key=lambda pair: "security" in pair[0] or "security" in pair[1])
    return list(dict.fromkeys(uri for uri, _ in ordered))


def _choose(board: Board, micropython: Path | str | None) -> tuple[Path | str, str]:
    """Return the folder or the name of the release to build `board` from, and why that one."""
    why = ""
    if not micropython and board.fallback:
        micropython = os.environ.get(VARIABLE)
        why = f", as {VARIABLE} says"
    if micropython:
        known = str(micropython) in (*upstream.RELEASES, *DEBIAN)
        return (str(micropython) if known else Path(micropython)), why
    if not board.fallback:
        return board.micropython, ""
    if upstream.at_hand(board.micropython):
        return board.micropython, ", which the cache has"
    release = board.micropython
    why = f", as {release} is not in the cache (--micropython {release} clones it)"
    return board.fallback, why


def _origin(release: str) -> str:
    """Say for people whose release this is."""
    return release if release.startswith("v") else f"{DEBIAN_ORIGIN}{release}"


def _unpacked(release: str) -> Path:
    """Return where Debian's source package `release` is unpacked, or will be."""
    return cache_dir() / "source" / f"micropython-{release}"


def _download(name: str, digest: str, folder: Path) -> None:
    """Download one file of the source package from the first mirror that has it."""
    answers = []
    for mirror in mirrors():
        with tempfile.TemporaryDirectory(prefix="partial-", dir=folder) as partial:
            path = Path(partial) / name
            # apt-helper knows apt's proxies and transports, and needs no package lists.
            result = _run([_HELPER, "download-file", mirror + _POOL + name, str(path)])
            if _digest(path) == digest:
                path.replace(folder / name)
                return
            errors = re.findall(r"^E: (?!Download Failed)(.*)", result.stdout, re.MULTILINE)
            damaged = f"{mirror + _POOL + name} is not the file with SHA-256 {digest}"
            answers.append(errors[-1].strip() if errors else damaged)
    reason = "\n".join(answers) or "apt's sources name no archive."
    raise ToolError(
        f"MicroPython's source {name} cannot be downloaded:\n{reason}\n"
        f"Check the network and apt's sources (/etc/apt). {_ALTERNATIVE}"
    )


def _unpack(description: Path, target: Path) -> None:
    """Unpack a Debian source package, patches applied, to `target`: whole or not at all."""
    for left_over in target.parent.glob("unpack-*"):
        shutil.rmtree(left_over)
    with tempfile.TemporaryDirectory(prefix="unpack-", dir=target.parent) as temporary:
        folder = Path(temporary) / "micropython"
        # The hashes were checked against ours, which is stricter than the package's signature.
        result = _run(["dpkg-source", "--no-check", "-x", str(description), str(folder)])
        if result.returncode:
            raise ToolError(f"MicroPython's source cannot be unpacked:\n{result.stdout.rstrip()}")
        record(folder)
        folder.rename(target)


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex; empty if it is not there."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(argv: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a program of apt or dpkg; what it says, errors included, is the result's stdout."""
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
        )
    except FileNotFoundError as error:
        raise ToolError(f"{argv[0]} is missing: this is no Debian. {_ALTERNATIVE}") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{argv[0]} did not end within {_TIMEOUT} s. {_ALTERNATIVE}") from error
