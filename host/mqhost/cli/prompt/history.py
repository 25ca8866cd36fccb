"""Keeps what was typed at prompts: a bounded file of the user's, without what looks secret.

Each entry is a line of JSON, a text. Several prompts may be open: each adds its own at the end. The
file and its folder are for nobody else to read.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import History

from mqwire.secrets import WORDS

MOST = 1000  # entries that are kept; there may be twice as many until the next prompt opens
MOST_BYTES = 1 << 20
_SECRET = re.compile(
    rf"""({"|".join(WORDS)})\w*["']?\]?\s*[=:,(]+\s*b?["'] | \.connect\(.*["']""",
    re.IGNORECASE | re.VERBOSE,
)


def is_secret(text: str) -> bool:
    """Return whether `text` is not for a file: it begins with a space, or gives a text to what has
    a name as secrets have, or to `connect`, as a network's password.
    """
    return text.startswith(" ") or bool(_SECRET.search(text))


class KeptHistory(History):
    """The history in the file `path`; what cannot be kept is known until the prompt is left.

    `failure` says why the file cannot be used, "" if it can.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.failure = ""

    def load_history_strings(self) -> Iterable[str]:
        """Return the entries, the newest first."""
        try:
            with self._open() as file:
                data = self._path.read_bytes()
                entries = _entries(data)
                if len(entries) > MOST or len(data) > MOST_BYTES:
                    entries = _newest(entries)
                    os.ftruncate(file, 0)
                    os.write(file, b"".join(map(_line, entries)))
        except OSError as error:
            self.failure = f"{self._path} cannot be used: {error.strerror}."
            return []
        return reversed(entries)

    def store_string(self, string: str) -> None:
        """Keep an entry."""
        if is_secret(string) or self.failure:
            return
        try:
            with self._open() as file:
                os.write(file, _line(string))
        except OSError as error:
            self.failure = f"{self._path} cannot be used: {error.strerror}."

    def _open(self) -> "_Locked":
        self._path.parent.mkdir(0o700, parents=True, exist_ok=True)
        return _Locked(self._path)


class _Locked:
    """A file that is open, and nobody else's while the `with` block runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> int:
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        os.fchmod(self._file, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self._file

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def _line(entry: str) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _entries(data: bytes) -> list[str]:
    """Return the entries in `data`, the oldest first; what is none is left out."""
    entries = []
    for line in data.split(b"\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, str):
            entries.append(entry)
    return entries


def _newest(entries: list[str]) -> list[str]:
    """Return the newest of `entries`, as many as there may be, in half of the room at most."""
    room = MOST_BYTES // 2
    kept: list[str] = []
    for entry in reversed(entries[-MOST:]):
        room -= len(_line(entry))
        if room < 0:
            break
        kept.append(entry)
    return kept[::-1]
