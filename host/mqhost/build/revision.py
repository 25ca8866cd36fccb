"""Finds out which state of the project a firmware is built from: version, git commit, its time.

The time is that of the commit, or of the newest change when files were changed since; it is the
only clock in an image, so that the same sources give the same bytes whenever they are built. Where
git is left behind, in a wheel and in the archive that it is made from, a file has the three.
"""

import json
import re
import subprocess
import time
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mqhost.errors import UsageError
from mqhost.paths import ROOT
from mqwire import WireError, names
from mqwire.update import MAX_VERSION

UNKNOWN = "unknown"
STAMP = "revision.json"  # the file, in the place of git
# What an app image's description holds: 31 bytes.
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,30}")
_INPUTS = ("frozen", "manifest", "boards")
_CHANGED = "-dirty"
_SHORT = 8
_DAY = 24 * 3600  # by how much a clock may be wrong


@dataclass(frozen=True)
class Revision:
    """`version`: of the firmware; `commit`: short hash, "-dirty" when files differ from it, or
    "unknown" without git; `time`: Unix seconds."""

    version: str
    commit: str
    time: int

    @property
    def committed(self) -> bool:
        """Whether it is a commit of git, and nothing else."""
        return self.commit != UNKNOWN and not self.commit.endswith(_CHANGED)

    def to_bytes(self) -> bytes:
        """Return what a file named STAMP holds."""
        return json.dumps(asdict(self)).encode() + b"\n"


def read_revision(
    version: str | None = None,
    root: Path = ROOT,
    untagged: str = "",
    inputs: Iterable[str] = _INPUTS,
) -> Revision:
    """Return the revision of the project in `root`; `version` replaces the one found there.
    `untagged`: that of a user's project, where git has no tag; it may lie in a larger repository.
    `inputs`: what a firmware is made of, whose newest file tells the time where there is no git.

    Found is the tag v1.2.3 that git describes, as 1.2.3 or 1.2.3+4.g<commit>, and without such a
    tag the project's own version, as 0.1.0+g<commit>; ".dirty" at its end means changed files.
    Without git it is what STAMP has. UsageError if the commit is dated in the future.
    """
    if version is not None and not _VERSION.fullmatch(version):
        raise UsageError(
            f"{version!r} cannot be a version: it has 1 to 31 letters, digits, or . + - _, "
            "and begins with a letter or digit."
        )
    project = root
    if untagged:
        root = next((at for at in (root, *root.parents) if (at / ".git").exists()), root)
    head = _git(root, "log", "-1", f"--abbrev={_SHORT}", "--format=%h %ct")
    if not head:
        if (root / STAMP).is_file():
            made = Revision(**json.loads((root / STAMP).read_bytes()))
            return replace(made, version=version) if version else made
        places = [project / name for name in inputs]
        files = (file for at in places for file in ([at] if at.is_file() else at.rglob("*.*")))
        return Revision(version or untagged or project_version(root), UNKNOWN, newest(files))
    commit, time_text = head.split()
    when = int(time_text)
    check_time(root, commit, when)
    changed = _changed(root, project)
    if changed:
        when = max(when, newest(changed))
    found = version or _describe(root, commit, untagged) + (".dirty" if changed else "")
    _check_length(found)
    return Revision(found, commit + (_CHANGED if changed else ""), when)


def full_commit(revision: Revision, root: Path = ROOT) -> str:
    """Return the whole hash of the revision's commit, or what is known of it; "" if nothing is."""
    commit = revision.commit.removesuffix(_CHANGED)
    if commit == UNKNOWN:
        return ""
    return _git(root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") or commit


def remote_of(root: Path) -> str:
    """Return the address of the repository's remote, without a password; "" if it has none."""
    address = _git(root, "remote", "get-url", "origin")
    if not address or ":" not in address:
        return ""  # another folder of this machine: nobody else's concern
    return re.sub(r"(?<=//)[^/@]*@", "", address)


def check_time(root: Path, commit: str, when: int) -> None:
    """Raise UsageError if the commit is of a time to come: boards that ran it would refuse all
    firmware that is made before then."""
    if when > time.time() + _DAY:
        date, today = (
            time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(t)) for t in (when, time.time())
        )
        raise UsageError(
            f"Commit {commit} in {root} is dated {date}; the clock here says {today}. Boards would "
            "refuse all firmware from before that date as older. Set the clock if it is wrong; "
            "otherwise give the commit another date: git commit --amend --no-edit."
        )


def _check_length(version: str) -> None:
    """Raise UsageError if boards would not take firmware of that version, for its length."""
    try:
        names.check_text(version, MAX_VERSION)
    except WireError as error:
        raise UsageError(
            f"The version {version}, of the git tag, is not possible: {error}. Give another one "
            "(--version), or a shorter tag."
        ) from error


def _describe(root: Path, commit: str, untagged: str) -> str:
    """Return the version that git's tags give, or the project's own with the commit."""
    text = _git(root, "describe", "--tags", "--long", f"--abbrev={_SHORT}", "--match=v[0-9]*")
    if not text:
        return f"{untagged or project_version(root)}+g{commit}"
    tag, distance, node = text.rsplit("-", 2)
    return tag[1:] + (f"+{distance}.{node}" if distance != "0" else "")


def project_version(root: Path) -> str:
    """Return what pyproject.toml in `root` says the next release is, for where no tag tells."""
    with (root / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["tool"]["mqboard"]["version"])


def _changed(root: Path, project: Path) -> list[Path]:
    """Return the files of `project` that differ from the commit of `root`, new ones included,
    ignored ones not."""
    options = ("--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    text = _git(root, "status", *options, "--", str(project))
    return [root / entry[3:] for entry in text.split("\0") if entry]


def newest(files: Iterable[Path]) -> int:
    """Return the time of the newest of `files` in whole seconds, at most now: boards refuse what is
    older than a time to come. A deleted file tells none.
    """
    newest = max((int(file.stat().st_mtime) for file in files if file.exists()), default=0)
    return min(newest, int(time.time()))


def _git(root: Path, *arguments: str) -> str:
    """Return what git says about the checkout `root`; empty if there is no git, or it is none."""
    if not (root / ".git").exists():
        return ""
    # The project may belong to another user than the one who builds (a container, a CI job).
    return run_git(root, "-c", f"safe.directory={root}", *arguments)


def run_git(folder: Path, *arguments: str) -> str:
    """Return what git says in `folder`, in a checkout or below one; empty if it says nothing."""
    argv = ["git", "-C", str(folder), *arguments]
    try:
        result = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return ""
    return result.stdout.rstrip("\n") if result.returncode == 0 else ""
