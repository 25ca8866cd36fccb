"""Knows where things lie: what firmware is made of, build outputs, and the cache between builds.

A wheel has what firmware is made of inside the package, laid out as in a checkout (ci/packing.py);
that is only ever read.
"""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSIDE = _PACKAGE / "firmware"


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # removed meanwhile, which most commands need not mind
        return Path()


CHECKOUT = None if _INSIDE.is_dir() else _PACKAGE.parents[1]
ROOT = CHECKOUT or _INSIDE
BOARDS = ROOT / "boards"
DOCKER = ROOT / "docker"
FROZEN = ROOT / "frozen"
MANIFEST = ROOT / "manifest"
# Where people work: builds leave their outputs there, and its git remote has the artifacts.
WORK = CHECKOUT or _working_folder()
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
