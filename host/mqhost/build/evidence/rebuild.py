"""Builds a commit again, to see whether an image is what it says: for `mqboard verify --rebuild`.

    provenance → a clone of the checkout at hand, at that commit → its own build → the images

The clone, the build tree and a configuration without keys lie in a temporary folder; of the
checkout only git's objects are read, of the cache MicroPython's source. The keys that are frozen,
the version and the options are those that the provenance tells.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mqhost
from mqhost.attest.statement import APP, FLASH, SBOM, Provenance
from mqhost.build.evidence.locate import Traces
from mqhost.build.evidence.writing import MQBOARD
from mqhost.build.revision import full_commit, read_revision, run_git
from mqhost.errors import BuildError, ProofError, ToolError, UsageError
from mqhost.paths import CHECKOUT, PROJECT, cache_dir, config_dir
from mqhost.progress import Progress, silent
from mqhost.signing.keys import PUBLIC_KEYS, SIGNING_KEY

_KEPT = ("source", "download")  # of the cache: what is checked whenever it is used
_TAIL = 15
_NO_GIT = "git is missing, by which the commit is fetched: apt-get install git"
# The user's own, and that the checkout may be somebody else's: git asks for that in files only.
_SETTINGS = """[include]
path = ~/.config/git/config
path = ~/.gitconfig
[safe]
directory = *
[advice]
detachedHead = false
"""


@dataclass(frozen=True)
class Rebuilt:
    """What was built again: the bytes of the files, and by what a place in them can be named."""

    app: bytes
    flash: bytes
    sbom: bytes
    traces: Traces


def rebuild(
    provenance: Provenance,
    *,
    builder: str | None = None,
    micropython: Path | None = None,
    root: Path | None = None,
    progress: Progress = silent,
) -> Rebuilt:
    """Build what `provenance` tells of again, from the git repository `root`: by default that of
    MQBoard, or of the project in the working folder if it was one.

    `builder`: native or docker, by default what it was built with; `micropython`: the checkout it
    was built with, if it was one. Raises ProofError if it cannot be built again, UsageError if
    something is to be given for it, BuildError if the build fails.
    """
    if not provenance.commit:
        raise ProofError(
            "It was built from a folder without a commit: what was in it nobody can tell, so it "
            "cannot be built again. Make it a git repository, commit, and build from that."
        )
    if provenance.changed:
        raise ProofError(
            "It was built from changed files, not from a commit alone: what these were nobody can "
            "tell, and so it cannot be built again. Commit, and build from that."
        )
    if provenance.micropython == "checkout" and micropython is None:
        raise UsageError(
            "It was built with a MicroPython checkout of somebody's own. Give the same: "
            "--micropython DIR"
        )
    root, inside = (root, ".") if root else _repository(provenance)
    with tempfile.TemporaryDirectory(prefix="mqb-rebuild-") as temporary:
        folder = Path(temporary)
        progress(f"fetching commit {provenance.commit[:8]}", 0, 0)
        clone = clone_at(root, provenance.commit, folder / "project")
        _make_cache(folder / "cache")
        _make_config(folder / "config" / "mqboard")
        # Of a project only the project is cloned: MQBoard is the one that runs, of that commit.
        program = "mqhost.cli" if provenance.project else "invoke"
        argv = [sys.executable, "-m", program, "build", "--board", provenance.board]
        argv += ["--version", provenance.version, "--builder", builder or provenance.how]
        source = str(micropython.resolve()) if micropython else provenance.micropython
        argv += ["--micropython", source]
        for number, lines in enumerate(provenance.sdkconfig.values()):
            options = folder / f"sdkconfig.{number}"
            options.write_text("".join(f"{line}\n" for line in lines))
            argv += ["--sdkconfig", str(options)]
        progress(f"building {provenance.board} {provenance.version}", 0, 0)
        run_build(argv, clone / inside, _environment(provenance, clone, folder))
        output = clone / inside / "build" / provenance.board
        try:
            app, flash, sbom = ((output / name).read_bytes() for name in (APP, FLASH, SBOM))
            makes = sorted((folder / "cache" / "build").glob("*/make"))
            return Rebuilt(app, flash, sbom, Traces.read(makes[0] if makes else folder))
        except FileNotFoundError as error:
            raise ProofError(
                f"The build of commit {provenance.commit[:8]} leaves no {Path(error.filename).name}"
                ": that MQBoard is too old to be built again from here."
            ) from error


def _repository(provenance: Provenance) -> tuple[Path, str]:
    """Return the repository of what was built, and the path of the project in it."""
    if not provenance.project:
        if CHECKOUT is None:
            raise UsageError(
                "Building again needs a checkout of MQBoard, and this mqboard was installed "
                "without one. Clone MQBoard, run ./invoke there, and use its .venv/bin/mqboard."
            )
        return CHECKOUT, "."
    if not shutil.which("git"):
        raise ToolError(_NO_GIT)
    here = read_revision()
    wanted = next((one for one in provenance.dependencies if one.name == MQBOARD), None)
    commit = wanted.digest.get("gitCommit", "") if wanted else ""
    if not here.committed or not commit or full_commit(here) != commit:
        raise ProofError(
            f"It was built with MQBoard {wanted.notes.get('version') if wanted else 'unknown'} "
            f"(commit {commit[:12] or 'unknown'}); this is {here.version} ({here.commit}). "
            "Build it again with that one."
        )
    top = run_git(PROJECT, "rev-parse", "--show-toplevel") if PROJECT else ""
    if not PROJECT or not top:
        raise UsageError(
            f"It was built from a project, and {Path.cwd()} is in none that is a git checkout. Go "
            "to the project's folder, and verify there."
        )
    return Path(top), run_git(PROJECT, "rev-parse", "--show-prefix") or "."


def clone_at(root: Path, commit: str, target: Path) -> Path:
    """Clone `root` at `commit`; nothing is written into it, its work tree included."""
    settings = target.with_name("gitconfig")
    settings.write_text(_SETTINGS)
    git = partial(_git, settings)
    git("clone", "--quiet", "--shared", "--no-checkout", str(root), str(target))
    known = ("-C", str(target), "cat-file", "-e", f"{commit}^{{commit}}")
    if git(*known, fails=False) is None:
        address = git("-C", str(root), "remote", "get-url", "origin", fails=False)
        if address:
            git("-C", str(target), "fetch", "--quiet", address.strip(), commit, fails=False)
    if git(*known, fails=False) is None:
        raise ProofError(
            f"There is no commit {commit[:12]} in {root}, nor where it was cloned from. Fetch it "
            "(git fetch), or verify where it is."
        )
    git("-C", str(target), "checkout", "--quiet", commit)
    return target


def _make_cache(folder: Path) -> None:
    """Make a cache that has nothing but the sources of the user's own."""
    folder.mkdir()
    for name in _KEPT:
        (cache_dir() / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(cache_dir() / name)


def _make_config(folder: Path) -> None:
    """Make a configuration without keys, but for those of secure boot: a board that wants them is
    not built without, and they only sign what is thrown away."""
    folder.mkdir(parents=True)
    for path in config_dir().glob("secure-boot-*.pem"):
        (folder / path.name).symlink_to(path)


def _environment(provenance: Provenance, clone: Path, folder: Path) -> dict[str, str]:
    """Return the environment: the clone's own code, its keys public ones only, and our caches."""
    theirs = (SIGNING_KEY, PUBLIC_KEYS)
    kept = {name: value for name, value in os.environ.items() if name not in theirs}
    ours = Path(mqhost.__file__).parents[1] if provenance.project else clone / "host"
    own = {
        "PYTHONPATH": os.pathsep.join(map(str, (ours, ours.parent / "frozen"))),
        "MQBOARD_CACHE": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    keys = {PUBLIC_KEYS: "".join(provenance.keys)} if provenance.keys else {}
    return kept | own | keys


def run_build(
    argv: Sequence[str], folder: Path, environment: Mapping[str, str], umask: int = -1
) -> None:
    """Run the build in `folder`; BuildError with how it ended if it fails."""
    result = subprocess.run(
        argv,
        cwd=folder,
        env=environment,
        umask=umask,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if result.returncode:
        tail = "\n".join(result.stdout.rstrip().splitlines()[-_TAIL:])
        raise BuildError(f"Building again failed. It ends with:\n{tail}")


def _git(settings: Path, *arguments: str, fails: bool = True) -> str | None:
    """Return what git says with these `settings`; if it fails, ToolError, or None where `fails` is
    False."""
    own = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_CONFIG_GLOBAL": str(settings)}
    try:
        result = subprocess.run(
            ["git", *arguments],
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise ToolError(_NO_GIT) from error
    if result.returncode and fails:
        raise ToolError(f"The commit cannot be fetched; git says: {result.stderr.strip()}")
    return None if result.returncode else result.stdout
