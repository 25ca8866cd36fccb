"""Knows where things lie: what firmware is made of, build outputs, and the cache between builds.

A wheel has what firmware is made of inside the package, laid out as in a checkout (ci/packing.py);
that is only ever read. In a project of the user's own (mqhost.project) people work there.
"""

import os
import re
from pathlib import Path

SETTINGS = "mqboard.toml"
_PACKAGE = Path(__file__).resolve().parent
_INSIDE = _PACKAGE / "firmware"
_ROOT_USER = 0
# [project], [[project]], project = 1, project.name = "x": as a table it is one of these.
_PROJECT_LINE = r"""^\s*(\[\s*){0,2}["']?project(?![\w-])"""


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # removed meanwhile, which most commands need not mind
        return Path()


def find_project(folder: Path, checkout: Path | None = None) -> Path | None:
    """Return the folder of the project that `folder` is in, None if it is in none: the nearest
    whose mqboard.toml has the table [project].

    What another user has put above it, as anybody can in /tmp, is passed over: a build runs code
    of its project. So is a project around MQBoard's own `checkout`, for who works in that.
    """
    for at in (folder, *folder.parents):
        if checkout and checkout.parent == at and folder.is_relative_to(checkout):
            return None
        file = at / SETTINGS
        if file.is_file() and (at == folder or is_ours(file)) and _has_project(file):
            return at
    return None


def _has_project(file: Path) -> bool:
    """Return whether there is a table [project] in a file, by its text: everybody waits for what is
    imported here, and a parser takes its time. A header without its end counts, and so does what is
    no table: who reads the project says so, and nothing is built in its place."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:  # whoever needs its settings is told
        return False
    return re.search(_PROJECT_LINE, text, re.MULTILINE) is not None


def is_ours(path: Path) -> bool:
    """Return whether a file belongs to the user, or to root."""
    return os.name != "posix" or path.stat().st_uid in (os.geteuid(), _ROOT_USER)


CHECKOUT = None if _INSIDE.is_dir() else _PACKAGE.parents[1]
ROOT = CHECKOUT or _INSIDE
BOARDS = ROOT / "boards"
DOCKER = ROOT / "docker"
FROZEN = ROOT / "frozen"
MANIFEST = ROOT / "manifest"
PROJECT = find_project(_working_folder(), CHECKOUT)
# How people call what builds, flashes and simulates: what a checkout has as tasks are commands.
TASK = "invoke" if CHECKOUT and not PROJECT else "mqboard"
# Where people work: builds leave their outputs there, and its git remote has the artifacts.
WORK = PROJECT or CHECKOUT or _working_folder()
BUILD = WORK / "build"


def cache_dir() -> Path:
    """Return the cache folder: MQBOARD_CACHE, else `mqboard` in the XDG one. Not created here."""
    explicit = os.environ.get("MQBOARD_CACHE")
    if explicit:
        return Path(explicit).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "mqboard"


def config_dir() -> Path:
    """Return the user's configuration folder, `mqboard` in the XDG one, for keys. May not exist."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser().resolve() / "mqboard"


def state_dir() -> Path:
    """Return the user's folder, `mqboard` in the XDG one, for what is kept without being asked for,
    as a history. May not exist.
    """
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser().resolve() / "mqboard"
