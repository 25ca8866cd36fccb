"""Keeps a folder mounted on a board: sends the listing, answers what the board asks for.

A thread of its own answers, so that the board can import while somebody else waits for what it
prints. Answers are commands of one message, and so have a tag where the board wants one.
"""

import json
import struct
import threading
from contextlib import suppress
from typing import Any

from mqhost.errors import SilentBoardError, ToolError
from mqhost.link.exchange import PART_SIZE, new_ident
from mqhost.link.session import Session
from mqhost.mount.folder import Folder
from mqhost.repl.underway import under_way
from mqwire import mount as wire

_BEAT = wire.LEASE_S / 3  # seconds between two signs of life
_OPEN = 16  # files that the board may read at once
_ENOENT = 2


class Mount:
    """A mount of `folder` on the board of `session`, a context manager; `who` has it, others are
    told. `over` is why it is not there any more, "" while it is: the board may have restarted.

    Raises BoardError when somebody else has a folder mounted, and as a Session does.
    """

    def __init__(self, session: Session, folder: Folder, who: str) -> None:
        self._session = session
        self._folder = folder
        self._who = who
        self._exchange = session.open("mount")
        self._room = PART_SIZE - session.room() - wire.HEAD_SIZE
        self._files: dict[int, tuple[bytes, int]] = {}  # what it holds, and how much of it went
        self._lock = threading.Lock()
        self._sent = b""
        self._left = False
        self._boot_id: Any = None
        self._generation = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._over = ""

    def __enter__(self) -> "Mount":
        self._exchange.__enter__()
        self._generation = self._session.connection.generation
        try:
            self._sent = self._folder.listing()
            self._exchange.send(json.dumps({"who": self._who}).encode() + b"\n" + self._sent)
            timeout = self._session.settings.timeout
            begun = self._exchange.receive(timeout)
            if begun is None:
                raise self._session.silence(timeout)
            self._boot_id = _json(begun.data).get("boot_id")
        except BaseException:
            self._over = "it could not be mounted"
            self._cancel()  # it may be, and only the answer be late
            self._exchange.__exit__(None, None, None)
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._thread.ident:
            return  # it was never mounted
        self._left = True
        if not self.over:
            self._cancel()
            self._thread.join(self._session.settings.timeout)
        self._exchange.__exit__(None, None, None)

    def _cancel(self) -> None:
        with suppress(ToolError):
            self._exchange.tell("cancel", new_ident(), self._exchange.ident)

    @property
    def over(self) -> str:
        """Why it is over, "" if it is not."""
        boot_id = (self._session.last_status or {}).get("boot_id")
        if boot_id and self._boot_id and boot_id != self._boot_id:
            return "the board has restarted"
        return self._over

    def update(self) -> None:
        """Tell the board what is in the folder now, if that has changed: what is sent to it later
        finds it so. Does not wait, but for a look whether it is still mounted after the connection
        was lost: what the board said meanwhile did not reach us.
        """
        generation = self._session.connection.generation
        if generation != self._generation:
            self._generation = generation
            if all(command.ident != self._exchange.ident for command in under_way(self._session)):
                self._over = self._over or "the connection was lost"
        listing = self._folder.listing()
        if listing != self._sent:
            self._sent = listing
            self._answer(wire.LISTING, listing, 0, len(listing))

    def start_anew(self) -> None:
        """Have the board let go of the modules of the folder, and of all names; does not wait."""
        self._tell(wire.ANEW, 0, 0)

    # In the thread

    def _serve(self) -> None:
        try:
            while not self._left or not self._over:
                message = self._exchange.receive(_BEAT)
                if self._left and message is None:
                    return
                if message is None:
                    self._tell(wire.HERE, 0, 0)
                elif message.last:
                    self._over = str(_json(message.data).get("over") or "it was unmounted")
                    return
                else:
                    self._asked(_json(message.data))
        except (ToolError, SilentBoardError) as error:
            self._over = str(error)

    def _asked(self, question: dict[str, Any]) -> None:
        """Answer a question of the board: the first for a file has its path."""
        number, allowed, path = (question.get(key) for key in ("ask", "to", "path"))
        if not isinstance(number, int) or not isinstance(allowed, int):
            return
        if isinstance(path, str):
            try:
                self._files[number] = (self._folder.read(path), -1)
            except OSError as error:
                self._tell(number, error.errno or _ENOENT, wire.FAULT)
                return
            for old in list(self._files)[:-_OPEN]:
                del self._files[old]
        if number not in self._files:
            return
        data, done = self._files[number]
        allowed = min(allowed, len(data))
        if allowed > done:
            self._files[number] = (data, allowed)
            self._answer(number, data, max(done, 0), allowed)

    def _answer(self, number: int, data: bytes, start: int, stop: int) -> None:
        """Send `data` from `start` to `stop`, in as many messages as it takes: one at least."""
        for place in range(start, max(stop, start + 1), self._room):
            self._tell(number, place, len(data), data[place : min(stop, place + self._room)])

    def _tell(self, number: int, position: int, total: int, data: bytes = b"") -> None:
        head = struct.pack(wire.HEAD, number, position, total)
        with self._lock:
            self._exchange.tell("mounted", self._exchange.ident, body=head + data)


def _json(data: bytes) -> dict[str, Any]:
    try:
        record = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
