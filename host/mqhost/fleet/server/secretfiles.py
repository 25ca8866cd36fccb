"""Decides which files of a board those may read who only look: text in which nothing seems secret.

A board's configuration has its passwords in it, and so may any file that somebody wrote. Nobody can
know that of all: what is hidden, is no text, or has a word of those that go with secrets in its
name or its content takes the role `operate`.
"""

import posixpath
import re

_NAMES = re.compile(
    r"config|credential|passw|secret|token|webrepl_cfg|wifi|wlan"
    r"|(?:^|[._/-])(?:keys?|certs?|pem|der|p12|pfx|psk)(?:$|[._/-])"
)
_WORDS = re.compile(
    rb"passw|passphrase|secret|token|credential|private key|api[_-]?key|psk|ssid|wlan|\.connect\("
)
_CONFIGURATION = re.compile(r"/config(\.old)?\.json(\.new)?")


def normal(path: str) -> str:
    """Return `path` as boards understand it: from the root folder, which `..` does not leave."""
    return posixpath.normpath(f"/{path.lstrip('/')}")


def is_configuration(path: str) -> bool:
    """Return whether a file is a configuration of the board, which is shown with secrets masked."""
    return bool(_CONFIGURATION.fullmatch(normal(path)))


def as_text(data: bytes) -> str | None:
    """Return what is in a file as text; None if it is none."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def may_be_secret(path: str, data: bytes | None = None) -> bool:
    """Return whether a file may hold secrets, by its path and, if that is given, its content."""
    place = normal(path).lower()
    if "/." in place or _NAMES.search(place):
        return True
    return data is not None and (as_text(data) is None or bool(_WORDS.search(data.lower())))
