"""Follows one board in a broadcast: it is sent there, says what it needs, and is done or drops out.

Whatever goes wrong with it is no error here: it drops out, and is pushed to alone.
"""

import time

import mqwire
from mqhost.errors import ToolError
from mqhost.fleet.cast.stream import PROTOCOL, Stream
from mqhost.link.exchange import Exchange
from mqhost.link.roster import Status
from mqhost.link.session import Session
from mqhost.update.transfer import differs
from mqwire import update as wire
from mqwire.flash import CONFIRMED_STATES

ASKED, LISTENING, INSTALLED, OUT = "asked", "listening", "installed", "out"
BLOCK_S = 0.064  # in which an ESP32 writes a block: what a board needs that does not say it
_JOINS = 3  # times that a board is sent to one broadcast


def can_listen(status: Status | None, offer_sha256: str) -> bool:
    """Return whether a board that says `status` may be sent to a broadcast of that image: all else
    is told and decided better by a push of its own.
    """
    status = status or {}
    protocol = status.get("protocol")
    return (
        status.get("state") == mqwire.ONLINE
        and isinstance(protocol, int)
        and protocol >= PROTOCOL
        and status.get("slot_state") in CONFIRMED_STATES
        and status.get("image") != offer_sha256
        and not status.get("twin")
    )


class Listener:
    """The board of `session` in the broadcast `stream`; `state` is how far it is.

    `needed` is the bitmap of blocks that it asked for last, at `told_at`, `missing` their number,
    and `wanted` what it asked for first. `before` and `before_message` are for the sender to note
    how many blocks and messages it had sent by then. `away`: it has lost its connection since, and
    with it what was on its way. `boot_id` is the boot in which it installed, `version` what it ran
    before, `why` says why it dropped out, and `bytes_sent` are those of its commands. `block_s`: in
    how many seconds it writes a block.
    """

    def __init__(self, session: Session, stream: Stream) -> None:
        self.session = session
        self.state = ASKED
        self.needed = b""
        self.missing = stream.offer.count
        self.wanted = b""
        self.away = False
        self.told_at = 0.0
        self.before: int | None = None
        self.before_message = 0
        self.block_s = BLOCK_S
        self.why = ""
        self.bytes_sent = 0
        self.boot_id: object = None
        self.version = ""  # the one before
        self._stream = stream
        self._exchange: Exchange | None = None
        self._generation = 0
        self._births = 0
        self._joins = 0

    @property
    def under_way(self) -> bool:
        """Whether something is still to be expected of it."""
        return self.state in (ASKED, LISTENING)

    def join(self) -> None:
        """Send the board to the stream, perhaps once more."""
        self.close()
        self._joins += 1
        self._generation = self.session.connection.generation
        self._births = self.session.births
        status = self.session.last_status or {}
        self.boot_id = status.get("boot_id")
        self.version = str(status.get("version"))
        self.state, self.before, self.away = ASKED, None, False
        try:
            self._exchange = self.session.open("update").__enter__()
            self.bytes_sent += self._exchange.send(self._stream.command())
        except ToolError as error:
            self.drop(str(error))

    def join_again(self, why: str) -> None:
        """Send it there once more, if that has not been done too often."""
        if self._joins < _JOINS:
            self.join()
        else:
            self.drop(f"{why}, again and again")

    def drop(self, why: str) -> None:
        """Have it drop out."""
        self.state, self.why = OUT, why
        self.close()

    def close(self) -> None:
        """Listen to it no more."""
        exchange, self._exchange = self._exchange, None
        if exchange:
            exchange.__exit__()

    def look(self) -> bool:
        """Take what it has said meanwhile; return whether that was news."""
        news = False
        while self.under_way and self._exchange:
            try:
                message = self._exchange.receive(0)
            except ToolError as error:
                self.drop(str(error))
                return True
            if message is None:
                return self._look_away() or news
            news = self._take(message.data) or news
        return news

    def _take(self, data: bytes) -> bool:
        """Take one reply; return whether it was one of an update."""
        try:
            code, block_ms, _, body = wire.unpack_reply(data)
        except mqwire.WireError:
            return False
        count = self._stream.offer.count
        size = -(-count // 8)
        if code == wire.RECEIVING and len(body) in (0, size):
            body = body or b"\xff" * size
            if self.state == ASKED:
                self.wanted = body
            self.state, self.needed = LISTENING, body
            self.block_s = block_ms / 1000 if block_ms else BLOCK_S
            self.told_at = time.monotonic()
            # The bits after the last block mean nothing.
            self.missing = (int.from_bytes(body, "big") >> (-count % 8)).bit_count()
        elif code == wire.INSTALLED:
            self.state, self.missing = INSTALLED, 0
            self.close()
        elif code not in (wire.COMPARING, wire.VERIFYING):
            self.drop(body.decode("utf-8", "replace") or f"code {code}")
        return True

    def _look_away(self) -> bool:
        """See whether it, or we, have been away: then nobody knows what was said meanwhile."""
        session = self.session
        status = session.last_status or {}
        if session.births != self._births and status.get("state") == mqwire.ONLINE:
            self._births = session.births
            if status.get("image") == self._stream.offer.sha256:
                self.state, self.missing = INSTALLED, 0  # and we did not hear it
                self.close()
                return True
            if differs(status.get("boot_id"), self.boot_id):
                self.join_again("it was restarted")
                return True
            self.away = True
        if session.connection.connected and session.connection.generation != self._generation:
            self.join_again("the connection to the broker was lost")
            return True
        return False
