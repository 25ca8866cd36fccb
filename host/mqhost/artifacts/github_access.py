"""Finds out which GitHub repository is meant, and the token that opens it.

The repository is named on the command line or read from the checkout's git remote; the token comes
from GITHUB_TOKEN or from GitHub's own program, `gh auth token`. Neither a token nor a remote's
address, which may contain one, appears in any message.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mqhost.errors import UsageError
from mqhost.paths import WORK

API = "https://api.github.com"
HOW_TO_GET_A_TOKEN = (
    "Set GITHUB_TOKEN to a token that may read the repository's Actions and contents, or sign in "
    "with GitHub's own program: gh auth login."
)
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
# https://user@github.com/owner/name.git, ssh://git@github.com:22/owner/name, git@github.com:…
_REMOTE = re.compile(
    r"(?:(?:https?|ssh|git)://)?(?:[^@/]*@)?(?P<host>[^/:]+)(?::\d+)?[/:](?P<path>.+?)(?:\.git)?/?"
)
_HOSTS = ("github.com", "www.github.com", "ssh.github.com")
_GH_SECONDS = 20


def find_repository(named: str | None = None, root: Path = WORK) -> str:
    """Return the repository as OWNER/NAME: `named`, or that of the checkout `root`'s remote."""
    if named is not None:
        if not _REPOSITORY.fullmatch(named) or named.endswith(("/.", "/..")):
            raise UsageError(f"{named!r} is no repository: write it as OWNER/NAME.")
        return named
    found = repository_of(_remote(root))
    if found is None:
        raise UsageError(
            f"{root} has no git remote on github.com. Say which repository: --repo OWNER/NAME."
        )
    return found


def repository_of(remote: str) -> str | None:
    """Return OWNER/NAME of a remote's address on github.com, however spelt; None of another."""
    match = _REMOTE.fullmatch(remote.strip())
    if not match or match["host"].lower() not in _HOSTS:
        return None
    path = match["path"].lstrip("/")
    return path if _REPOSITORY.fullmatch(path) else None


def find_token(environment: Mapping[str, str] | None = None) -> str:
    """Return the token: GITHUB_TOKEN, else what `gh auth token` prints; empty if there is none."""
    environment = os.environ if environment is None else environment
    token = environment.get("GITHUB_TOKEN", "").strip()
    if token:
        return token
    try:
        result = subprocess.run(
            ["gh", "auth", "token"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GH_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def find_api(environment: Mapping[str, str] | None = None) -> str:
    """Return the API's address: GITHUB_API_URL (a GitHub server of one's own), or github.com's."""
    environment = os.environ if environment is None else environment
    return environment.get("GITHUB_API_URL", "").rstrip("/") or API


def _remote(root: Path) -> str:
    """Return the address of the remote that `root` follows, or "". Asks no network."""
    argv = ["git", "-c", f"safe.directory={root}", "-C", str(root), "ls-remote", "--get-url"]
    if not (root / ".git").exists():
        return ""
    try:
        result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
