"""Remembers which prefixes a broker had boards at, for a while: completion must not wait for it.

One small file for each broker and user, in the cache folder. What cannot be read or written is no
error: it is only a memory.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mqhost.files import replace_file
from mqhost.link.settings import Settings
from mqhost.paths import cache_dir


@dataclass(frozen=True)
class Memory:
    """The `prefixes` that were seen `age` seconds ago."""

    prefixes: tuple[str, ...]
    age: float


def remember(settings: Settings, prefixes: Iterable[str]) -> None:
    """Keep `prefixes`, which are all that the broker in `settings` has now."""
    path = _path(settings)
    with contextlib.suppress(OSError):
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        replace_file(path, json.dumps(sorted(prefixes)).encode())


def recall(settings: Settings) -> Memory | None:
    """Return what was kept last, None if nothing was."""
    path = _path(settings)
    try:
        age = time.time() - path.stat().st_mtime
        prefixes = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(prefixes, list) or not all(isinstance(one, str) for one in prefixes):
        return None
    return Memory(tuple(prefixes), max(age, 0.0))


def _path(settings: Settings) -> Path:
    name = hashlib.sha256(f"{settings.where}\0{settings.username}".encode()).hexdigest()[:16]
    return cache_dir() / "prefixes" / f"{name}.json"
