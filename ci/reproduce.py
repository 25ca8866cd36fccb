"""Builds the last commit several times, as differently as this machine can, and compares the bytes.

python -m ci.reproduce                          → the simulated board, here and elsewhere
python -m ci.reproduce --docker                 → and in a container
python -m ci.reproduce --board esp32            → a chip's, where its toolchain is

Elsewhere is a clone in another folder with other times of its files, another home, umask, language,
time zone and SOURCE_DATE_EPOCH, and where the kernel allows it another user. Each begins anew.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.engine import engine
from mqhost.attest.compare import compare
from mqhost.attest.sbom import read_parts
from mqhost.build.board import find
from mqhost.build.evidence.rebuild import clone_at, run_build
from mqhost.build.revision import run_git
from mqhost.build.sources.source import find_source
from mqhost.errors import BuildError, ToolError
from mqhost.paths import ROOT
from mqhost.progress import Progress, silent
from mqhost.signing.keys import PUBLIC_KEYS, SIGNING_KEY, SigningKey

_SOMEBODY = 4321
_LONG_AGO = 1_000_000_000
_ELSEWHERE = {
    "LC_ALL": "tr_TR.UTF-8",
    "LANG": "tr_TR.UTF-8",
    "TZ": "Asia/Kathmandu",
    "USER": "somebody",
    "SOURCE_DATE_EPOCH": "1",
    "PYTHONHASHSEED": "7",
}


@dataclass(frozen=True)
class Built:
    """What one build gave: its name, and the bytes of its files."""

    name: str
    app: bytes
    flash: bytes
    sbom: bytes


def builds(
    board: str, folder: Path, *, docker: bool = False, progress: Progress = silent
) -> list[Built]:
    """Build the last commit of this checkout below `folder`: here, elsewhere, in a container."""
    commit = run_git(ROOT, "-c", f"safe.directory={ROOT}", "rev-parse", "HEAD")
    if not commit:
        raise ToolError(f"{ROOT} is no git checkout: there is no commit to build.")
    # It is given to all of them, so that none has to look for it.
    source = find_source(find(board), None, progress).path
    common = ["build", "--board", board, "--micropython", str(source)]
    keys = {PUBLIC_KEYS: _some_key()}
    native = [*common, "--builder", "native"]
    far = folder / "another" / "place"
    user = _another_user()
    progress("building here", 0, 0)
    found = [_build("here", native, commit, folder / "here", keys)]
    progress(f"building elsewhere{', as another user' if user else ''}", 0, 0)
    found.append(_build("elsewhere", native, commit, far, keys | _ELSEWHERE, user, umask=0o077))
    if docker:
        with engine(progress) as running:
            progress("building in a container", 0, 0)
            words = [*common, "--builder", "docker", "--base-image", running.base]
            found.append(_build("a container", words, commit, folder / "container", keys))
    return found


def difference(found: Sequence[Built]) -> str:
    """Say where the builds are not the same; empty if they are."""
    first, *others = found
    for other in others:
        parts = [read_parts(one.sbom, "sbom.cdx.json")[2] for one in (other, first)]
        apart = compare(other.app, first.app, *parts)
        if apart:
            return f"{other.name} differs from {first.name}: {apart.sentence()}"
        for name in ("flash", "sbom"):
            if getattr(other, name) != getattr(first, name):
                return f"{other.name} differs from {first.name} in its {name}"
    return ""


def _build(
    name: str,
    words: Sequence[str],
    commit: str,
    folder: Path,
    environment: Mapping[str, str],
    user: Sequence[str] = (),
    umask: int = -1,
) -> Built:
    """Build a clone below `folder`; with `user` in front of the command."""
    folder.mkdir(parents=True)
    clone = clone_at(ROOT, commit, folder / "project")
    for place in ("home", "cache", "tmp"):
        (folder / place).mkdir()
    if umask >= 0:
        for path in clone.rglob("*"):
            if path.is_file() and ".git" not in path.parts:
                os.utime(path, (_LONG_AGO, _LONG_AGO))
    own = {
        "PYTHONPATH": os.pathsep.join(str(clone / part) for part in ("host", "frozen")),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "XDG_CONFIG_HOME": str(folder / "home"),
        "MQBOARD_CACHE": str(folder / "cache"),
    }
    kept = {key: value for key, value in os.environ.items() if key != SIGNING_KEY}
    argv = [*user, sys.executable, "-m", "invoke", *words]
    try:
        run_build(argv, clone, kept | own | dict(environment), umask)
    except BuildError as error:
        raise BuildError(f"{name}: {error}") from error
    output = clone / "build" / words[words.index("--board") + 1]
    files = (output / name for name in ("app.bin", "flash.bin", "sbom.cdx.json"))
    return Built(name, *(file.read_bytes() for file in files))


def _another_user() -> list[str]:
    """Return what in front of a command makes its user another one, with the same rights to files;
    [] where that is not possible."""
    user = ["unshare", "--user", f"--map-user={_SOMEBODY}", f"--map-group={_SOMEBODY}"]
    if not shutil.which(user[0]):
        return []
    tried = subprocess.run([*user, sys.executable, "-c", ""], capture_output=True)
    return user if tried.returncode == 0 else []


def _some_key() -> str:
    """Return a new public key, which all of the builds freeze."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return SigningKey(rsa.generate_private_key(65537, 3072), "here").public.pem()


def main() -> None:
    """Build, and say whether all are the same: exit code 1 if they are not."""
    parser = argparse.ArgumentParser(
        prog="ci.reproduce", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--board", default="sim")
    parser.add_argument("--docker", action="store_true", help="also in a container")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mqb-reproduce-") as folder:
        found = builds(
            options.board,
            Path(folder),
            docker=options.docker,
            progress=lambda what, *_: print(what, flush=True),
        )
    apart = difference(found)
    if apart:
        sys.exit(apart)
    print(f"{len(found)} builds of {options.board}: the same, byte for byte.")


if __name__ == "__main__":
    main()
