"""Looks up the names that a board has, for completion: in the background, each once."""

import threading
from collections.abc import Callable

from mqhost.errors import ToolError
from mqhost.link.session import Session
from mqhost.repl.completion import Completion, complete, modules

Found = Callable[[list[str]], None]


class Names:
    """Completes dotted names on the board of `session`, and remembers what it has told.

    `forget` when code has run there: it may have made names.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._known: dict[str, Completion] = {}  # by the text that was asked for
        self._modules: list[str] | None = None
        self._age = 0  # how many times it was all forgotten

    def forget(self) -> None:
        """Forget everything that the board has told."""
        with self._lock:
            self._known.clear()
            self._modules = None
            self._age += 1

    def known(self, text: str) -> list[str] | None:
        """Return what can stand for the last word of `text`, None if that is not known yet."""
        path, dot, word = text.rpartition(".")
        with self._lock:
            for size in range(len(word), -1, -1):
                told = self._known.get(path + dot + word[:size])
                # For a word of no letters the board leaves out what begins with an underscore.
                if told and (size == len(word) or not told.more and (size or word[0] != "_")):
                    return [name for name in told.names if name.startswith(word)]
        return None

    def ask(self, text: str, found: Found, of_modules: bool = False) -> None:
        """Call `found` with what can stand for the last word of `text`, in another thread if the
        board has to be asked. Nothing, if it does not tell. `of_modules`: that can be imported.
        """
        names = self._known_modules(text) if of_modules else self.known(text)
        if names is not None:
            found(names)
            return
        look_up = self._list_modules if of_modules else self._look_up
        threading.Thread(target=look_up, args=(text, found), daemon=True).start()

    def _look_up(self, text: str, found: Found) -> None:
        age = self._age
        try:
            told = complete(self._session, text)
        except ToolError:  # nobody asked for words
            found([])
            return
        with self._lock:
            if age == self._age:
                self._known[text] = told
        found(told.names)

    def _known_modules(self, text: str) -> list[str] | None:
        path, dot, word = text.rpartition(".")
        with self._lock:
            if self._modules is None:
                return None
            package = path + dot
            inside = [name[len(package) :] for name in self._modules if name.startswith(package)]
        names = {name.partition(".")[0] for name in inside if name.startswith(word)}
        return sorted(name for name in names if word or not name.startswith("_"))

    def _list_modules(self, text: str, found: Found) -> None:
        age = self._age
        try:
            told = modules(self._session)
        except ToolError:
            told = []
        with self._lock:
            self._modules = told
        found(self._known_modules(text) or [])
        if age != self._age or not told:
            self.forget()
