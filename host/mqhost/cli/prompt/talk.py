"""Leads the conversation at a prompt: reads a text, runs it on the board, shows what it did."""

from contextlib import suppress
from typing import Any, Protocol

from mqhost.cli.prompt.editor import Cleared, Prompt
from mqhost.cli.prompt.history import KeptHistory
from mqhost.cli.prompt.keyboard import GivenUp, Keyboard
from mqhost.cli.prompt.presence import Presence
from mqhost.cli.prompt.screen import Screen
from mqhost.cli.terminal.printing import clean
from mqhost.errors import BoardError, BrokerError, SilentBoardError, ToolError
from mqhost.link.session import Session
from mqhost.paths import state_dir
from mqhost.repl import Result, Run, start, typed
from mqhost.repl.names import Names
from mqhost.repl.running import INTERRUPTED
from mqhost.repl.underway import cancel_words

_RECONNECT = 2.0  # seconds
_HINT = "The board was told to stop, and has not yet. Ctrl-C once more gives the prompt back."


class Imported(Protocol):
    """What the board imports from, where Ctrl-D begins anew before it leaves."""

    def greeting(self) -> str:
        """Say what that is."""

    def refresh(self) -> None:
        """Have the board know it as it is now; ToolError if that cannot be."""

    def start_anew(self) -> None:
        """Have the board forget what was imported, and all names."""


class Talk:
    """A conversation with the board of `session`, at the terminal of this process."""

    def __init__(self, session: Session, screen: Screen, imported: Imported | None = None) -> None:
        self._session = session
        self._screen = screen
        self._imported = imported
        self._fresh = True  # nothing has run since the beginning
        self._running = False
        self._facts = _facts(session)
        self._names = Names(session)
        self._history = KeptHistory(state_dir() / "repl-history")
        self._presence = Presence(session, self._facts, self._on_news)
        self._prompt = Prompt(self._names, self._history, self._presence.state, self._tell_news)
        self._keyboard = Keyboard(lambda: screen.note(_HINT), self._prompt.clear)

    def run(self) -> int:
        """Talk until somebody leaves; return the exit code."""
        self._screen.note(_greeting(self._session.prefix, self._facts))
        if self._imported:
            self._screen.note(self._imported.greeting())
        self._session.watch_status(lambda status: self._on_news())
        with self._keyboard:
            while (code := self._turn()) is None:
                pass
        if self._history.failure:
            self._screen.note(f"No history is kept: {self._history.failure}")
        return code

    def _turn(self) -> int | None:
        """Take one text; return the exit code if it is the last."""
        self._screen.begin_line()
        self._tell_news()
        try:
            with self._keyboard.lent():
                text = self._prompt.read(self._keyboard.begin_prompt)
        except Cleared:
            self._screen.note(INTERRUPTED)
            return None
        except EOFError:
            return self._begin_anew()
        if self._prompt.take_ctrl_c():
            self._keyboard.press_early()
        code = typed.exit_code(text)
        text = typed.as_sent(text)
        if text and code is None:
            self._execute(text)
        return code

    def _begin_anew(self) -> int | None:
        """Take Ctrl-D: return the exit code, or begin anew where there is something to import."""
        if self._fresh or not self._imported:
            return 0
        self._fresh = True
        try:
            self._imported.refresh()
            self._imported.start_anew()
            self._screen.note("The board begins anew.")
        except ToolError as error:
            self._screen.note(str(error))
        self._names.forget()
        return None

    def _execute(self, text: str) -> None:
        """Run `text` on the board; say what went wrong."""
        session = self._session
        connected = session.connection.wait_connected(_RECONNECT)
        absent = self._presence.absent() if connected else str(session.silence(0))
        if absent:
            self._screen.note(f"{absent} Nothing was sent.")
            return
        run = None
        self._running = True
        self._fresh = False
        try:
            if self._imported:
                self._imported.refresh()
            run = start(self._session, text)
            with self._keyboard.interrupting(run):
                for part in run:
                    self._keyboard.heard()
                    self._screen.write(part)
            assert run.result is not None  # the iteration has ended
            self._show(run.result)
        except GivenUp:
            ending = cancel_words(run.ident) if run else "cancel --all"
            self._screen.note(f"It may still run on the board. mqboard {ending} ends it.")
        except ToolError as error:
            self._screen.note(str(error))
            if run and isinstance(error, SilentBoardError | BrokerError):
                _forget(run)
            if isinstance(error, BoardError) and (lost := self._presence.restart(is_known=True)):
                self._screen.note(lost)
        finally:
            self._running = False
            self._names.forget()
            self._presence.refresh()

    def _show(self, result: Result) -> None:
        """Show how code ended."""
        self._screen.losses(result)
        error = result.error or ""
        if result.cancelled and self._keyboard.presses:
            error = result.interrupted
        elif result.cancelled:
            error += "\nIt was ended from elsewhere: mqboard cancel."
        if error:
            self._screen.note(error.strip())
        if result.exit is not None:
            self._screen.note(f"SystemExit: {result.exit}")

    # What happens meanwhile

    def _on_news(self) -> None:
        """Take that something has happened to the board; in the network's thread."""
        if not self._running:
            self._prompt.poke()
        elif departure := self._presence.departure():
            self._screen.note(departure)

    def _tell_news(self) -> None:
        for text in (self._presence.departure(), self._presence.restart()):
            if text:
                self._screen.note(text)


def _facts(session: Session) -> dict[str, Any]:
    """Return what the board says of itself; the status alone, of one that has no `info`."""
    try:
        return session.request_json("info")
    except BoardError:
        return session.last_status or {}


def _greeting(prefix: str, facts: dict[str, Any]) -> str:
    version, python, board, mcu = [
        clean(f"{facts.get(key, 'unknown')!s:.40}")
        for key in ("version", "micropython", "board", "mcu")
    ]
    lines = [f"MQBoard {version}, MicroPython {python}; {board} with {mcu} at {prefix}"]
    if facts.get("mode") == "safe":
        lines.append("It is in safe mode: no module runs. mqboard reset --normal leaves it.")
    lines.append("Ctrl-C interrupts what runs, Ctrl-D leaves, TAB completes.")
    return "\n".join(lines)


def _forget(run: Run) -> None:
    """End code that we are not going to hear of, should the board get it after all."""
    with suppress(ToolError):
        run.interrupt()
