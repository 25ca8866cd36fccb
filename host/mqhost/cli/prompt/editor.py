"""Reads what somebody types at a prompt: with history, editing, completion and pasted blocks.

prompt_toolkit edits; what is decided here is when a text is whole, how its lines are indented, and
that TAB asks the board, while typing goes on.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.history import History
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.processors import TabsProcessor
from prompt_toolkit.output.defaults import create_output

from mqhost.cli.terminal.printing import clean
from mqhost.repl import typed
from mqhost.repl.names import Names

_REFRESH = 2.0  # seconds: nobody tells when the broker's connection is lost
_PROMPT, _MORE = ">>> ", "... "


class Cleared(Exception):
    """Raised where Ctrl-C at the prompt has given up what was typed."""


class Prompt:
    """The prompt. `state` gives the line below it; `news` prints what has happened since it was
    called last, and is called in the main thread, above the prompt.
    """

    def __init__(
        self, names: Names, history: History, state: Callable[[], str], news: Callable[[], None]
    ) -> None:
        self._news = news
        self._session: PromptSession[str] = PromptSession(
            multiline=True,
            history=history,
            completer=_OnBoard(names),
            complete_while_typing=False,
            key_bindings=_bindings(),
            prompt_continuation=_MORE,
            bottom_toolbar=lambda: clean(state()),
            input_processors=[TabsProcessor()],
            interrupt_exception=Cleared,
            refresh_interval=_REFRESH,
            output=create_output(always_prefer_tty=True),
        )

    def read(self, begun: Callable[[], None]) -> str:
        """Return what was typed; Cleared at Ctrl-C, EOFError at Ctrl-D or without a terminal.

        `begun` is called when the prompt is there. SIGINT stays with us: prompt_toolkit's handler
        loses it, or fails, when the prompt is about to end.
        """
        return self._session.prompt(_PROMPT, pre_run=begun, handle_sigint=False)

    def clear(self) -> bool:
        """Give up what was typed, as Ctrl-C does there, if the prompt is there: return whether it
        is. For a handler of SIGINT.
        """
        app = self._session.app
        if not app.loop or not app.future or app.future.done():
            return False
        app.exit(exception=Cleared(), style="class:aborting")
        app.loop.call_soon_threadsafe(lambda: None)  # wakes it
        return True

    def take_ctrl_c(self) -> bool:
        """Return whether Ctrl-C was pressed since the text was read; what was typed before that, in
        between, is given up, as a terminal does.
        """
        terminal = self._session.app.input
        keys = [*get_typeahead(terminal), *terminal.read_keys()]
        pressed = [number for number, key in enumerate(keys) if key.key is Keys.ControlC]
        store_typeahead(terminal, keys[pressed[-1] + 1 :] if pressed else keys)
        return bool(pressed)

    def poke(self) -> None:
        """Have news and state looked at again, if the prompt is there; from any thread."""
        loop = self._session.app.loop
        if loop and self._session.app.is_running:
            with suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        if self._session.app.is_running:
            run_in_terminal(self._news)
            self._session.app.invalidate()


class _OnBoard(Completer):
    """Completes names as the board has them, and waits for it without holding up anything."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        return ()  # there are none without waiting

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        line = document.current_line_before_cursor
        module = typed.module_word(line)
        word = typed.dotted_word(line) if module is None else module
        if not word and module is None:
            return
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def found(names: list[str]) -> None:
            with suppress(RuntimeError):  # the prompt is gone meanwhile
                loop.call_soon_threadsafe(_answer, answer, names)

        self._names.ask(word, found, module is not None)
        last = word.rpartition(".")[2]
        for name in await answer:
            yield Completion(name, -len(last))


def _answer(future: "asyncio.Future[list[str]]", names: list[str]) -> None:
    if not future.done():
        future.set_result(names)


def _bindings() -> KeyBindings:
    bindings = KeyBindings()
    typing = has_focus(DEFAULT_BUFFER)

    @Condition
    def in_indentation() -> bool:
        before = _current().document.current_line_before_cursor
        return bool(before) and not before.strip() and not _current().selection_state

    @bindings.add("enter", filter=typing)
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        document = buffer.document
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None  # that is the one
        elif "\n" not in document.text_after_cursor and typed.is_whole(document.text):
            buffer.text = typed.as_remembered(document.text.rstrip())
            buffer.cursor_position = len(buffer.text)
            buffer.validate_and_handle()
        elif event.key_processor.input_queue:  # it was not a person who typed that
            buffer.insert_text("\n")
        else:
            buffer.insert_text("\n" + typed.next_indentation(document.text_before_cursor))

    @bindings.add("tab", filter=typing)
    def tab(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        before = buffer.document.current_line_before_cursor
        if not before.strip():
            buffer.insert_text(" " * (typed.INDENT - len(before) % typed.INDENT))
        elif buffer.complete_state:
            buffer.complete_next()
        else:
            buffer.start_completion(insert_common_part=True)

    @bindings.add("backspace", filter=typing & in_indentation)
    def backspace(event: KeyPressEvent) -> None:
        before = event.current_buffer.document.current_line_before_cursor
        event.current_buffer.delete_before_cursor((len(before) - 1) % typed.INDENT + 1)

    return bindings


def _current() -> Buffer:
    from prompt_toolkit.application import get_app

    return get_app().current_buffer
