"""Finds out how old an application is, by git: the seq that boards compare, and a version.

The seq is the time of the last commit that changed the folder or, where a file differs from that,
of the newest change. Only what is committed raises what a board takes at least (docs/security.md).
"""

import time
from dataclasses import dataclass

from mqhost.build.revision import check_time, newest, run_git
from mqhost.deploy.folder import SPEC, Source
from mqwire import app

_SHORT = 8


@dataclass(frozen=True)
class History:
    """`seq` in Unix seconds; `committed`: all files are as in the commit of that time."""

    version: str
    seq: int
    committed: bool


def read_history(source: Source) -> History:
    """Return the history of an application; `source.version` goes before the version found.

    UsageError if its commit is of a time to come.
    """
    head = run_git(source.folder, "log", "-1", f"--abbrev={_SHORT}", "--format=%h %ct", "--", ".")
    if not head:
        seq = newest(source.folder / path for path in source.files)
        return History(source.version or _stamp(seq), seq, False)
    commit, _, when = head.partition(" ")
    seq = int(when)
    check_time(source.folder, commit, seq)
    changed = [source.folder / path for path in _changed(source)]
    if changed:
        seq = max(seq, newest(changed))
    found = f"g{commit}" + (".dirty" if changed else "")
    return History(source.version or found, seq, not changed)


def _changed(source: Source) -> list[str]:
    """Return the paths of files that are not as they are committed; also those that git ignores."""
    tracked = run_git(source.folder, "ls-files", "-z", "--", ".").split("\0")
    text = run_git(source.folder, "diff", "--name-only", "--relative", "-z", "HEAD", "--", ".")
    differing = set(filter(None, text.split("\0")))
    gone = [path for path in differing if not (source.folder / path).exists()]
    spec = [SPEC] if (source.folder / SPEC).exists() else []
    return gone + [
        path for path in (*spec, *source.files) if path not in tracked or path in differing
    ]


def _stamp(seq: int) -> str:
    return time.strftime("%Y%m%d.%H%M%S", time.gmtime(seq))[: app.MAX_WORD]
