"""Asks a board how what somebody begins to type could go on: names and attributes there."""

import json
from dataclasses import dataclass

from mqhost.errors import BoardError
from mqhost.link.session import Session
from mqhost.repl.running import start

# What is in the firmware, and then what can be imported from files. It leaves no names behind.
_LIST_MODULES = """help('modules')
(lambda list: [print(*list(place)) for place in ('/', '/lib', '/remote')
    if place[1:] in list('/') or place == '/'])(__import__('os').listdir)
"""
_BEHIND = "Plus any modules on the filesystem"


@dataclass(frozen=True)
class Completion:
    """Whole last words for a dotted beginning; `more`: there are others, which were left out."""

    names: list[str]
    more: bool = False


def complete(session: Session, text: str) -> Completion:
    """Return what may stand in place of the last word of `text`, as "machine.Pi" or "boa".

    Nothing is called for it. A text that is not dotted names has no completions. BoardError for
    firmware that has no `complete`; SilentBoardError as with all requests.
    """
    if not all(word.isidentifier() for word in text.split(".")[:-1]):
        return Completion([])
    told = session.request_json("complete", json.dumps({"text": text}).encode())
    names = told.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BoardError(f"The board's answer to complete has no names: {told!s:.60}")
    return Completion([name for name in names if name.isidentifier()], told.get("more") is True)


def modules(session: Session) -> list[str]:
    """Return the names of the modules that the board can import, those in packages dotted.

    It runs code there; errors are those of `mqhost.repl.running.Run`.
    """
    told = b"".join(start(session, _LIST_MODULES, show=False)).decode("utf-8", "replace")
    firmware, _, files = told.partition(_BEHIND)
    names = {word.removesuffix("/__init__").replace("/", ".") for word in firmware.split()}
    names |= {word.removesuffix(".py").removesuffix(".mpy") for word in files.split()}
    return sorted(name for name in names if all(map(str.isidentifier, name.split("."))))
