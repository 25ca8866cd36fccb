"""Offers the files of one board: lists, reads, writes, moves and removes them.

Paths are the board's: text that begins at its root folder, with a `/` or without. Everything raises
ToolErrors: FileError with the reason (a code of mqwire.files) and the path, FileRefused when there
is no room, SilentBoardError and BrokerError when board or broker are lost for too long.
"""

from collections.abc import Callable, Iterable

from mqhost.errors import BoardError
from mqhost.link.session import Session
from mqhost.progress import Progress, silent
from mqhost.remote import getting, putting
from mqhost.remote.getting import Wanted
from mqhost.remote.patience import PATIENCE
from mqhost.remote.records import Carried, Entry, Volume, ask, entry, look, volume

_PATHS_AT_ONCE = 40
_PATHS_BYTES = 12_000  # in one command


class BoardFiles:
    """The files of the board that `session` is with. `patience`: seconds without progress."""

    def __init__(self, session: Session, patience: float = PATIENCE) -> None:
        self.session = session
        self._patience = patience

    # What there is

    def ls(
        self, path: str = "/", *, recursive: bool = False, times: bool = False, sha: bool = False
    ) -> list[Entry]:
        """Return what is in the folder `path`, sorted by path; with `recursive` also what is in
        folders. A file's path is the only entry's. `sha` has the board hash every file.
        """
        wish = {"path": path, "recursive": recursive, "times": times, "sha": sha}
        records, _ = look(self.session, "ls", wish)
        found = [there for there in map(entry, records) if there]
        return sorted(found, key=lambda each: each.path.split("/"))

    def stat(self, path: str, *, sha: bool = False) -> Entry | None:
        """Return what is known of `path`, None if there is nothing."""
        return self.stat_all([path], sha=sha)[0]

    def stat_all(self, paths: Iterable[str], *, sha: bool = False) -> list[Entry | None]:
        """Return what is known of each of `paths`, in their order."""
        found: list[Entry | None] = []
        for some in _portions(paths):
            records, _ = look(self.session, "stat", {"paths": some, "sha": sha})
            if len(records) != len(some):
                raise BoardError(f"The board says {len(records)} of {len(some)} paths.")
            found += [entry(record, "stat") for record in records]
        return found

    def df(self) -> list[Volume]:
        """Return the filesystems of the board and how full they are."""
        return [volume(record) for record in look(self.session, "df", {})[0]]

    # Changes

    def rm(
        self,
        paths: Iterable[str],
        *,
        recursive: bool = False,
        force: bool = False,
        progress: Progress = silent,
    ) -> int:
        """Remove files, with `recursive` folders, too; with `force` none has to be there. Return
        how many files and folders that were.
        """
        return self._each("rm", paths, progress, recursive=recursive, force=force)

    def rmdir(self, paths: Iterable[str]) -> int:
        """Remove folders that are empty; return how many."""
        return self._each("rmdir", paths, silent)

    def mkdir(self, paths: Iterable[str], *, parents: bool = False) -> int:
        """Make folders, with `parents` also those that they are in; return how many."""
        return self._each("mkdir", paths, silent, parents=parents)

    def touch(self, paths: Iterable[str]) -> int:
        """Make files that are missing, and set the time of the others to now."""
        return self._each("touch", paths, silent)

    def mv(self, source: str, target: str) -> None:
        """Move or rename a file or a folder: at once. A file at `target` is replaced."""
        ask(self.session, "mv", {"from": source, "to": target})

    def cp(
        self, source: str, target: str, *, recursive: bool = False, progress: Progress = silent
    ) -> int:
        """Copy a file on the board, with `recursive` a folder; return how many files."""
        wish = {"from": source, "to": target, "recursive": recursive}
        return _done(ask(self.session, "cp", wish, lambda done: progress("copy", done, 0))[1])

    # Bytes

    def read(self, path: str, progress: Progress = silent) -> bytes:
        """Return what is in a file. `progress` is told "get", and bytes."""
        wanted = Wanted(path)
        self.read_all([wanted], progress)
        if wanted.error:
            raise wanted.error
        assert wanted.data is not None
        return wanted.data

    def read_all(self, wanted: list[Wanted], progress: Progress = silent) -> None:
        """Read many files; what becomes of each stands in its Wanted."""
        done = 0

        def came(count: int) -> None:
            nonlocal done
            done += count
            # A file that changed meanwhile begins anew.
            total = sum(each.size or 0 for each in wanted)
            progress("get", min(done, total) if total else done, total)

        getting.get_all(self.session, wanted, came, self._patience)

    def write(
        self, path: str, data: bytes, *, parents: bool = False, progress: Progress = silent
    ) -> Carried:
        """Write a file: whole, or it stays as it was. With `parents` missing folders are made.

        `progress` is told "put", and bytes.
        """
        total = len(data)
        return putting.put(
            self.session,
            path,
            data,
            parents=parents,
            sent=lambda done: progress("put", done, total),
            patience=self._patience,
        )

    def write_all(
        self,
        files: Iterable[tuple[str, Callable[[], bytes]]],
        *,
        parents: bool = False,
        total: int = 0,
        progress: Progress = silent,
    ) -> list[Carried]:
        """Write many files: (path, a function that returns the bytes) each. Several are on their
        way at once; the first that fails ends it. `progress` is told "put", and bytes of `total`.
        """
        return putting.put_all(
            self.session,
            files,
            parents=parents,
            sent=_Counter("put", total, progress).add,
            patience=self._patience,
        )

    def _each(self, command: str, paths: Iterable[str], progress: Progress, **more: bool) -> int:
        done = 0
        for some in _portions(paths):
            before = done

            def told(count: int, before: int = before) -> None:
                progress(command, before + count, 0)

            _, outcome = ask(self.session, command, {"paths": some} | more, told)
            done += _done(outcome)
        return done


class _Counter:
    """Adds up what `progress` is to be told."""

    def __init__(self, what: str, total: int, progress: Progress) -> None:
        self._what, self._total, self._progress = what, total, progress
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        self._progress(self._what, self._done, max(self._total, self._done) if self._total else 0)


def _portions(paths: Iterable[str]) -> Iterable[list[str]]:
    """Yield `paths` in lists that fit into a command."""
    some: list[str] = []
    size = 0
    for path in paths:
        size += 2 * len(path.encode("utf-8", "surrogatepass")) + 4
        if some and (len(some) >= _PATHS_AT_ONCE or size > _PATHS_BYTES):
            yield some
            some, size = [], 2 * len(path.encode("utf-8", "surrogatepass")) + 4
        some.append(path)
    if some:
        yield some


def _done(outcome: dict[str, object]) -> int:
    done = outcome.get("done")
    return done if isinstance(done, int) else 0
