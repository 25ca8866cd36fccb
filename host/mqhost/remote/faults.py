"""Says for people why a board does not do what was asked of its files."""

import shlex
from typing import Any

from mqhost.errors import BoardError, RefusedError, ToolError
from mqhost.link.session import Session
from mqhost.link.settings import command_line
from mqwire import files as wire

_WORDS = {
    "ENOENT": "there is no such file or folder",
    "EEXIST": "it is there already",
    "ENOTDIR": "it is a file, not a folder",
    "EISDIR": "it is a folder",
    "ENOTEMPTY": "the folder is not empty",
    "EINVAL": "that cannot be done with it",
    "EPERM": "that is on another filesystem: get it and put it there",
    "EROFS": "that filesystem cannot be written to",
    "EFBIG": "it is larger than a file can be there",
    "ENAMETOOLONG": f"a name in it has more than {wire.MAX_FILE_NAME} bytes",
    "ENOMEM": "the board has not enough memory for that now; try again, or stop a module",
    "ENOTSUP": "that filesystem cannot do that",
    "EIO": "the flash, or what holds that filesystem, has an error",
    "ECORRUPT": "the filesystem is damaged there",
    wire.MALFORMED: "the board did not understand it",
    wire.GAP: "a part of it was lost on the way; try again",
    wire.HASH: "what stands in flash is not what was sent; the flash may be worn out. Try again",
    wire.CANCELLED: "it was cancelled",
    wire.ABANDONED: "nothing came for a minute, says the board; try again",
    wire.GUARDED: "the configuration is not replaced as a file, which could lock everybody out. "
    "mqboard config push tries the new one, and goes back by itself",
    wire.SUPERSEDED: "somebody else began with the same file",
}


class FileError(BoardError):
    """A board's error about a file: `reason` is a code of mqwire.files, `path` is on the board."""

    def __init__(self, text: str, reason: str, path: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.path = path


class FileRefused(RefusedError):
    """The board refuses a file: there is no room, or somebody else puts it. `reason`, `path`."""

    def __init__(self, text: str, reason: str, path: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.path = path


def fault(record: dict[str, Any], what: str = "") -> ToolError:
    """Make the error for `record`, an object with "error" that a board sent; `what` was asked."""
    reason, path = str(record.get("error"))[:40], str(record.get("path") or what)
    if reason == "ENOSPC":
        return FileRefused(f"{shown(path)}: {_room(record)}", reason, path)
    if reason == "EBUSY" and path.strip("/"):
        return FileRefused(
            f"{shown(path)}: other files are being put, or this one by somebody else. "
            "Try again in a moment.",
            reason,
            path,
        )
    words = "the root folder stays" if reason == "EBUSY" else _WORDS.get(reason, f"error {reason}")
    detail = record.get("text")
    return FileError(
        f"{shown(path)}: {words}" + (f" ({detail!s:.80})." if detail else "."), reason, path
    )


def shown(path: str) -> str:
    """Return a board's path as commands take it."""
    return ":" + path


def make_folder(session: Session, folder: str) -> str:
    """Say how the board of `session` gets the folder."""
    words = f"mkdir -p {shlex.quote(shown(folder.rstrip('/')))}"
    return f"Make it: {command_line(session.prefix, words)}"


def _room(record: dict[str, Any]) -> str:
    need, free = record.get("need"), record.get("free")
    if isinstance(need, int) and isinstance(free, int):
        return (
            f"there is no room: it takes {need:,} B beside what is there, and {free:,} B are free. "
            "Remove something from the board first (a file that is replaced stays until the new "
            "one is whole)."
        )
    return "the board's filesystem is full. Remove something from it first."
