"""Knows where things lie: the project's root, its build outputs, and the cache between builds."""

import os
from pathlib import Path

from mqhost.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ROOT / "boards"
FROZEN = ROOT / "frozen"
BUILD = ROOT / "build"


def need_checkout(what: str) -> None:
    """Raise UsageError where there is no checkout; `what`, as "It needs", begins its sentence."""
    if not (BOARDS.is_dir() and FROZEN.is_dir()):
        raise UsageError(
            f"{what} a checkout of MQBoard, and this mqboard was installed without one. "
            "Clone MQBoard, run ./invoke there, and use its .venv/bin/mqboard."
        )


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
