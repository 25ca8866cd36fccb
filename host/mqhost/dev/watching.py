"""Tells that something in folders has changed, once the editor that did it has finished.

By inotify (watchfiles), where that is installed and the folder's filesystem has it, or else by
looking every quarter of a second. What has changed is not told: who asks reads the folder anew, so
that renames, temporary files and what comes in two steps need no rules of their own.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_STEP_MS = 50  # without another change, until one is told
_LOOK = 0.25  # seconds between two looks, without inotify
_UNWATCHED = ("__pycache__",)

Marks = dict[str, tuple[int, int, int]]


class Watcher:
    """Watches folders and files while the `with` block runs; those that are not there now may come.
    `polling`: by looking at them.
    """

    def __init__(self, *places: Path, polling: bool = False) -> None:
        self._places = places
        self._polling = polling
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._seen = marks(*self._places)  # from here on nothing is missed
        self._thread = threading.Thread(target=self._run, name="watching", daemon=True)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def watch(self, *places: Path) -> None:
        """Watch these from now on. Those that come in addition are a change by themselves."""
        self._places = places

    def wait(self, timeout: float) -> bool:
        """Return True once something has changed since the last time; False after `timeout`."""
        changed = self._changed.wait(timeout)
        if changed:  # what comes behind a wait in vain is for the next one
            self._changed.clear()
        return changed

    def _run(self) -> None:
        if not self._polling:
            # It may not be installed; or inotify is not there, or has no room.
            with suppress(ImportError, OSError):
                self._listen()
        self._look()

    def _listen(self) -> None:
        from watchfiles import watch

        # Each quarter of a second it yields, too: what is not there yet is noticed by that.
        for _ in watch(
            *(place for place in self._places if place.exists()),
            watch_filter=lambda _, path: not _is_unwatched(path),
            step=_STEP_MS,
            stop_event=self._ended,
            rust_timeout=int(_LOOK * 1000),
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            self._compare()

    def _look(self) -> None:
        while not self._ended.wait(_LOOK):
            self._compare()

    def _compare(self) -> None:
        """Tell if anything is other than at the last look."""
        now = marks(*self._places)
        if now != self._seen:
            self._seen = now
            self._changed.set()


def marks(*places: Path) -> Marks:
    """Return what shows whether a file of `places` or below is another one than before."""
    found: Marks = {}
    for path in _files(places):
        with suppress(OSError):  # gone meanwhile
            state = os.stat(path)
            found[path] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found


def _files(places: Iterable[Path]) -> Iterator[str]:
    for place in places:
        if place.is_file():
            yield str(place)
        for root, folders, names in os.walk(place):
            folders[:] = [name for name in folders if not _is_unwatched(name)]
            yield from (os.path.join(root, name) for name in names if not _is_unwatched(name))


def _is_unwatched(path: str) -> bool:
    name = os.path.basename(path)
    return name in _UNWATCHED or name.startswith(".")
