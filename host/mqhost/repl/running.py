"""Runs code on a board and follows it: output as it comes, credit for more, Ctrl-C, its end.

The board says at once that it has begun, and from then on is waited for as long as its boot lasts,
which its status tells. Output may get lost when a connection breaks; the code runs on, and what is
missing is counted. Old firmware, which has no `exec`, is given the code as an `eval`.
"""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import mqwire
from mqhost.errors import (
    BoardError,
    BrokerError,
    SilentBoardError,
    UnsupportedError,
    UsageError,
)
from mqhost.link.answer import json_object
from mqhost.link.exchange import OVERTAKEN, Exchange, Message, new_ident
from mqhost.link.roster import is_away
from mqhost.link.session import Session
from mqhost.repl import source as sources
from mqhost.repl.underway import under_way

INTERRUPTED = "KeyboardInterrupt"
_COMMAND = "exec"
CREDIT = 128 * 1024  # bytes of output that may be on their way
_GRANT = CREDIT // 4  # so much is taken until more is granted
_LOOK = 0.5  # seconds between two looks at how the board is
_AWAY = 120.0  # seconds until a board that went offline must be back; one with a watchdog is sooner
_LATE_ANSWER = 3.0


@dataclass(frozen=True)
class Result:
    """How code ended.

    `error`: its traceback, or None; `exit`: what it gave to sys.exit(), if it called that with more
    than success; `cancelled`: somebody ended it; `dropped`: bytes of output that the board could
    not get rid of; `lost`: messages of output that did not reach us.
    """

    error: str | None = None
    exit: int | str | None = None
    cancelled: bool = False
    dropped: int = 0
    lost: int = 0

    @property
    def interrupted(self) -> str:
        """The traceback as a prompt shows it whose user has pressed Ctrl-C: code that awaits is
        ended otherwise, and what had not begun has none.
        """
        lines = (self.error or INTERRUPTED).split("\n")
        if lines[-1].startswith("CancelledError"):
            lines[-1] = INTERRUPTED
        return "\n".join(lines).rstrip(": ")


def start(
    session: Session,
    source: str,
    *,
    show: bool = True,
    file: str = sources.STDIN,
    argv: list[str] | None = None,
    timeout: float | None = None,
) -> "Run":
    """Have the board run `source`, in the names that its other commands have, too.

    `show`: print the value of a last expression, as a prompt does. `file`: its name in tracebacks.
    `argv`: sys.argv for it. `timeout`: it is ended after so many seconds. Top-level `await` works.
    Nothing is waited for here: iterate over what is returned. UsageError for code that is too long.
    """
    return Run(session, source, show, file, argv, timeout)


class Run:
    """Code that runs on a board; iterate over it once, to the end, for its output (bytes). Who
    leaves before that has the code ended, too.

    `result` is there when the iteration has ended. It raises BoardError when the board refuses, has
    restarted (with the reason, as far as the board knows it), or the code did not end in its time;
    SilentBoardError when the board does not answer, or went away; BrokerError without a broker.
    """

    result: Result | None = None

    def __init__(
        self,
        session: Session,
        source: str,
        show: bool,
        file: str,
        argv: list[str] | None,
        timeout: float | None,
    ) -> None:
        self._session = session
        self._source = source
        prepared = sources.prepare(source, show, file)
        options: dict[str, Any] = prepared.options | {"credit": CREDIT}
        if argv is not None:
            options["argv"] = argv
        self._body = json.dumps(options).encode() + b"\n" + prepared.text
        if len(self._body) > mqwire.MAX_BODY:
            raise UsageError(
                f"This code is {len(self._body):,} B; {mqwire.MAX_BODY:,} B is the most that a "
                "board takes at once. Put it on the board as a file, and import that."
            )
        self._exchange: Exchange = session.open(_COMMAND)
        self.ident = self._exchange.ident
        self._timeout = timeout
        self._granted = CREDIT
        self._taken = 0
        self._lost = 0
        self._boot_id: Any = None
        self._generation = 0
        self._lock = threading.Lock()
        self._sent = False
        self._unwanted = False  # it was interrupted before it was sent

    def interrupt(self) -> None:
        """Ctrl-C on the board, from any thread; does not wait. Before the code was sent it comes
        right behind it.
        """
        with self._lock:
            self._unwanted = not self._sent
        if not self._unwanted:
            self._exchange.tell("cancel", new_ident(), self.ident)

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self._exchange:
                self._generation = self._session.connection.generation
                self._send()
                started = self._started()
                try:
                    yield from self._follow(started)
                except (GeneratorExit, KeyboardInterrupt):  # nobody wants to know any more
                    self.interrupt()
                    raise
        except UnsupportedError as error:
            yield from self._evaluate(error)

    # How it goes on

    def _send(self) -> None:
        self._exchange.send(self._body)
        with self._lock:
            self._sent = True
        if self._unwanted:
            self.interrupt()

    def _started(self) -> Message:
        """Wait for the board's first word."""
        timeout = self._session.settings.timeout
        message = self._exchange.receive(timeout)
        if message is None:
            raise self._session.silence(timeout)
        return message

    def _follow(self, first: Message) -> Iterator[bytes]:
        deadline = time.monotonic() + self._timeout if self._timeout else None
        expected = 0
        begun = False  # anything came in its turn
        early: Message | None = None  # the last word, which has overtaken others
        arrived: Message | None = first
        while True:
            if not arrived:
                arrived = self._exchange.receive(OVERTAKEN if early else _LOOK)
                if deadline and time.monotonic() > deadline:
                    self._end_it()
                    return
            message, arrived = arrived or early or self._look(), None
            if message is None:
                continue
            ahead = (message.seq - expected) & mqwire.MAX_SEQ
            if ahead > mqwire.MAX_SEQ // 2:
                continue  # seen before
            if ahead and message.last and not early:
                early = message
                continue
            self._lost += ahead if begun or not ahead else ahead - 1  # the first is no output
            expected = (message.seq + 1) & mqwire.MAX_SEQ
            if message.last:
                break
            if begun or message.seq:
                yield message.data
                self._grant(len(message.data))
            else:
                self._boot_id = json_object("exec", message.data).get("boot_id")
            begun = True
            if early and early.seq == expected:
                arrived = early
        self.result = replace(_result(message.data), lost=self._lost)

    def _grant(self, taken: int) -> None:
        """Let the board send more, when enough was taken."""
        self._taken += taken
        if self._taken + CREDIT - self._granted >= _GRANT:
            self._granted = self._taken + CREDIT
            self._exchange.tell("credit", self.ident, body=str(self._granted).encode())

    def _end_it(self) -> None:
        """Its time is over: end it, and raise BoardError that says so."""
        self.interrupt()
        text = f"The code did not end within {self._timeout:g} s"
        deadline = time.monotonic() + _LATE_ANSWER
        while (left := deadline - time.monotonic()) > 0:
            message = self._exchange.receive(left)
            if message and message.last:
                raise BoardError(f"{text}, and was ended.")
        raise BoardError(f"{text}. It was told to end, and has not yet.")

    def _look(self) -> Message | None:
        """Look whether the board is still in the boot that runs the code: nothing came for a while.

        Returns its last word, if that had got lost.
        """
        connection = self._session.connection
        if not connection.connected and not connection.wait_connected(_AWAY):
            raise self._session.silence(_AWAY)
        if connection.generation != self._generation:
            self._generation = connection.generation
            return self._catch_up()
        status = self._session.last_status or {}
        if is_away(status):
            status = self._wait_back()
        boot_id = status.get("boot_id")
        if status and self._boot_id and boot_id and boot_id != self._boot_id:
            raise BoardError(self._why_restarted(status))
        return None

    def _wait_back(self) -> dict[str, Any]:
        back = self._session.wait_status(lambda status: status.get("state") == mqwire.ONLINE, _AWAY)
        if back is None:
            raise SilentBoardError(
                f"{self._session.prefix} went offline while it ran this, and has not come back "
                f"within {_AWAY:g} s."
            )
        return back

    def _catch_up(self) -> Message | None:
        """Our connection was away: what was published meanwhile did not reach us. Return the last
        word of code that has ended.
        """
        self._exchange.tell("credit", self.ident, body=str(self._granted).encode())
        if any(command.ident == self.ident for command in under_way(self._session)):
            return None
        self._exchange.repeat()
        message = self._exchange.receive(_LATE_ANSWER)
        if message is None or not message.last:
            raise BrokerError(
                "The code has ended while the connection to the broker was lost: how, and what it "
                "printed last, is not known."
            )
        return message

    def _why_restarted(self, status: dict[str, Any]) -> str:
        """Say why the board has restarted, as its record of that boot tells."""
        text = f"{self._session.prefix} has restarted while it ran this"
        cause = str(status.get("reset_cause"))
        if status.get("crashes"):
            record = self._last_crash()
            if self.ident in str(record.get("running")):
                kind = str(record.get("kind") or cause)
                because = {
                    "watchdog": "it kept the board from everything else for too long, and the "
                    "watchdog bit",
                    "reset": "it reset the board, or made its firmware panic",
                }.get(kind, kind)
                return f"{text}, because of it: {because:.200}. See mqboard crash show."
        return f"{text} (reset cause {cause:.20}). What it printed last may be missing."

    def _last_crash(self) -> dict[str, Any]:
        try:
            return self._session.request_json("crash", b"show")
        except (BoardError, SilentBoardError):
            return {}

    # Firmware without `exec`

    def _evaluate(self, error: BoardError) -> Iterator[bytes]:
        """Run the code as an `eval`, which shows values of expressions alone."""
        if sources.awaits(self._source):
            raise BoardError(f"No `await` there: {error}") from error
        source = self._source.encode()
        try:
            yield from self._session.stream("eval", source, timeout=self._timeout)
        except BoardError as failed:
            self.result = Result(error=str(failed))
        else:
            self.result = Result()


def _result(data: bytes) -> Result:
    """Return what the board's last word says, of which nothing is taken on trust."""
    said = json_object("exec", data)
    error, left, dropped = said.get("error"), said.get("exit"), said.get("dropped")
    return Result(
        error=error.strip() if isinstance(error, str) else None,
        exit=left if isinstance(left, int | str) and not isinstance(left, bool) else None,
        cancelled=said.get("cancelled") is True,
        dropped=dropped if isinstance(dropped, int) else 0,
    )
