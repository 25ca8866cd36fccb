"""Gets files from a board, over lost connections and resets, each whole and as it stands there.

The board is asked for items (a file, from where, how many bytes), several in a command and several
commands in flight; what is lost is asked for again. A file that changed on the way begins anew.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import mqwire
from mqhost.errors import (
    AbsentBoardError,
    BoardError,
    BrokerError,
    SilentBoardError,
    ToolError,
)
from mqhost.link.exchange import EARLY, OVERTAKEN, Exchange
from mqhost.link.session import Session
from mqhost.remote.faults import fault, shown
from mqhost.remote.patience import PATIENCE, Patience, Presence
from mqhost.remote.records import ask, entry, parsed
from mqwire import files as wire

_POLL = 0.25
_IN_FLIGHT = 4  # commands
_BATCH_ITEMS = 50  # of one command
_CHANGES = 5  # times that a file may have changed while it was got

# Told how many bytes came.
Came = Callable[[int], None]


@dataclass
class Wanted:
    """A file that is to be got: `path` on the board, `size` as far as it is known.

    Afterwards `data` is what was in it; or `error` says why there is none.
    """

    path: str
    size: int | None = None
    data: bytes | None = None
    error: ToolError | None = None


@dataclass(eq=False)
class _File:
    """A file under way: its pieces by offset, and what the board said at each piece's end."""

    wanted: Wanted
    pieces: dict[int, bytes] = field(default_factory=dict)
    ends: set[tuple[int, int]] = field(default_factory=set)
    steady: bool = True
    changes: int = 0  # how often it began anew

    def begin_anew(self) -> None:
        self.pieces.clear()
        self.ends.clear()
        self.steady = True


@dataclass(frozen=True)
class _Item:
    file: _File
    offset: int
    length: int
    changes: int  # of the file when this was wanted

    @property
    def stale(self) -> bool:
        """Whether nobody wants it any more."""
        done = self.file.wanted.data is not None or self.file.wanted.error is not None
        return done or self.changes != self.file.changes


def get_all(
    session: Session, files: Sequence[Wanted], came: Came | None = None, patience: float = PATIENCE
) -> None:
    """Get all `files`; what becomes of each stands in it, its size as soon as that is known.

    Raises SilentBoardError or BrokerError when board or broker are lost for `patience` seconds.
    """
    _Getting(session, came or (lambda count: None), patience).run(files)


class _Lost(Exception):
    """Raised inside when something did not arrive."""


class _Getting:
    def __init__(self, session: Session, came: Came, patience: float) -> None:
        self._session = session
        self._came = came
        self._patience = Patience(session, patience)
        self._todo: deque[_Item] = deque()
        self._doubtful: list[_File] = []  # they are all there, and may be of two times

    def run(self, files: Sequence[Wanted]) -> None:
        for wanted in files:
            self._ask_for(_File(wanted))
        while self._todo or self._doubtful:
            try:
                self._round()
                self._make_sure()
                continue
            except AbsentBoardError:
                raise
            except (_Lost, BrokerError, SilentBoardError):  # which have the same patience
                self._todo = deque(item for item in self._todo if not item.stale)
            self._patience.pause()

    def _ask_for(self, file: _File) -> None:
        """Want all of a file; only its beginning, while its size is not known."""
        file.begin_anew()
        size = file.wanted.size or 0
        offset = 0
        while True:
            length = min(wire.MAX_CHUNK, max(size - offset, 1) if size else wire.MAX_CHUNK)
            self._todo.append(_Item(file, offset, length, file.changes))
            offset += length
            if offset >= size:
                break

    def _round(self) -> None:
        """Ask for what is to be done until it is; raises _Lost if something does not arrive."""
        presence = Presence(self._session)
        flying: deque[tuple[Exchange, list[_Item], ExitStack]] = deque()
        try:
            while self._todo or flying:
                while self._todo and len(flying) < _IN_FLIGHT:
                    flying.append(self._send())
                exchange, items, _ = flying[0]
                self._receive(exchange, items, presence)
                flying.popleft()[2].close()
        finally:
            for _, items, cleanup in flying:  # what of them has not come
                self._todo.extend(items)
                cleanup.close()

    def _send(self) -> tuple[Exchange, list[_Item], ExitStack]:
        """Send one command; return its exchange, its items, and what closes the exchange."""
        items = self._batch()
        try:
            with ExitStack() as cleanup:
                exchange = cleanup.enter_context(self._session.open("get"))
                exchange.send(_body(items))
                return exchange, items, cleanup.pop_all()
        except BaseException:
            self._todo.extend(items)
            raise

    def _batch(self) -> list[_Item]:
        """Take the items of one command: a large one, or small ones for as much together."""
        items: list[_Item] = []
        size = 0
        while self._todo and len(items) < _BATCH_ITEMS:
            known = self._todo[0].file.wanted.size
            next_size = self._todo[0].length if known is not None else wire.MAX_CHUNK
            body = len(_body([*items, self._todo[0]]))
            if items and (size + next_size > wire.MAX_CHUNK or body > mqwire.MAX_BODY):
                break
            items.append(self._todo.popleft())
            size += next_size
        return items

    def _receive(self, exchange: Exchange, items: list[_Item], presence: Presence) -> None:
        """Take the answers to `items`, which are removed as they come; raises _Lost."""
        expected = 0
        early: dict[int, bytes] = {}  # what has overtaken others
        data = bytearray()
        while items:
            if expected in early:
                body = early.pop(expected)
            else:
                seq, body = self._next(exchange, presence, bool(early))
                if seq > expected and len(early) < EARLY:
                    early[seq] = body
                if seq != expected:
                    continue
            if not body:
                raise _Lost
            expected += 1
            kind, body = body[0], body[wire.KIND_SIZE :]
            if kind == wire.DATA:
                data += body
                self._came(len(body))
                if len(data) > items[0].length:
                    raise BoardError("The board sends more of a file than it was asked for.")
                continue
            self._patience.progressed()
            item = items.pop(0)
            if kind == wire.END:
                self._take(item, bytes(data), body)
            else:
                self._fail(item, body)
            data.clear()

    def _next(self, exchange: Exchange, presence: Presence, gap: bool) -> tuple[int, bytes]:
        """Wait for a message, as long as for what was overtaken where there is a `gap`."""
        waited = 0.0
        timeout = OVERTAKEN if gap else self._session.settings.timeout
        while waited < timeout and not presence.lost():
            message = exchange.receive(_POLL)
            if message is not None:
                return message.seq, message.data
            waited += _POLL
        raise _Lost

    def _fail(self, item: _Item, body: bytes) -> None:
        record = parsed(body, "get")
        if not item.stale:
            said = record if isinstance(record, dict) else {}
            item.file.wanted.error = fault(said, item.file.wanted.path)

    def _take(self, item: _Item, data: bytes, body: bytes) -> None:
        """Take an item that has come."""
        try:
            size, mtime, steady = wire.unpack_end(body)
        except mqwire.WireError as error:
            raise BoardError(
                f"The board's answer to get is not understood: {body!r:.60}"
            ) from error
        if item.stale:
            return
        file = item.file
        file.pieces[item.offset] = data
        file.ends.add((size, mtime))
        file.steady = file.steady and steady
        known, file.wanted.size = file.wanted.size, size
        if len(file.ends) > 1 or (known is not None and known != size):
            self._begin_anew(file)
            return
        if known is None:
            for offset in range(item.length, size, wire.MAX_CHUNK):
                length = min(wire.MAX_CHUNK, size - offset)
                self._todo.append(_Item(file, offset, length, file.changes))
        if sum(map(len, file.pieces.values())) == size and 0 in file.pieces:
            if file.steady:
                _complete(file)
            else:
                self._doubtful.append(file)

    def _make_sure(self) -> None:
        """Look whether the board still has what came of files that were written lately."""
        while self._doubtful:
            file = self._doubtful[-1]
            path = file.wanted.path
            found, _ = ask(self._session, "stat", {"paths": [path], "sha": True})
            self._doubtful.pop()
            there = entry(found[0], "stat") if found else None
            _complete(file)
            assert file.wanted.data is not None
            if not there or there.sha256 != hashlib.sha256(file.wanted.data).hexdigest():
                file.wanted.data = None
                self._begin_anew(file)

    def _begin_anew(self, file: _File) -> None:
        file.changes += 1
        if file.changes > _CHANGES:
            file.wanted.error = BoardError(
                f"{shown(file.wanted.path)} changed while it was read, {_CHANGES} times. Stop the "
                "module that writes it, or copy it on the board (mqboard cp) and get the copy."
            )
            return
        self._ask_for(file)


def _complete(file: _File) -> None:
    """Put the pieces together."""
    file.wanted.data = b"".join(file.pieces[offset] for offset in sorted(file.pieces))


def _body(items: Sequence[_Item]) -> bytes:
    wish = [[item.file.wanted.path, item.offset, item.length] for item in items]
    text = json.dumps({"files": wish}, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")
