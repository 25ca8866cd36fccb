"""Makes the application on a board like its folder: sends what differs, starts its modules anew.

The first time it is deployed as a unit, under a version of its own that says so (dev.…), and tried
as any other. From then on its files are replaced where they lie, each whole or not at all, and only
its modules start again. Other names or settings of modules make it a new unit.
"""

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mqhost.deploy.application import Application
from mqhost.deploy.deployment import deploy, key_for
from mqhost.deploy.folder import Source
from mqhost.deploy.history import History, read_history
from mqhost.deploy.outcome import facts_of
from mqhost.dev.checking import Checker
from mqhost.dev.projectfile import ProjectFile
from mqhost.errors import BoardError
from mqhost.link.session import Session
from mqhost.manage.modules import ENABLE, RESTART, Module, change, list_modules
from mqhost.progress import Progress, silent
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.faults import FileError
from mqwire import app

VERSION = "dev."
_PERSON = "by a person"  # as mqboard.modules.crashes says it
# Lets go of what was imported from the application, but for its modules, which do that themselves.
_FORGET = (
    "len([__import__('sys').modules.pop(name) for name, module in "
    "list(__import__('sys').modules.items()) "
    "if getattr(module, '__file__', '').startswith(%r) and name not in %r])"
)


@dataclass(frozen=True)
class Done:
    """What was done: files `sent` and `removed` (paths), or the `version` that was deployed; the
    bytes that were sent; the modules that started anew, and those that are not to run.
    """

    sent: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    size: int = 0
    modules: list[Module] = field(default_factory=list)
    version: str = ""
    seconds: float = 0.0

    @property
    def nothing(self) -> bool:
        """Whether the board was as it should be."""
        return not (self.sent or self.removed or self.version)


class Development:
    """The application in `folder` on the board of `session`. `progress` is told a deployment's;
    `file`: that of the project it is in, if it is in one.
    """

    def __init__(
        self,
        session: Session,
        folder: Path,
        progress: Progress = silent,
        file: ProjectFile | None = None,
    ) -> None:
        self._session = session
        self._folder = folder
        self._file = file
        self._progress = progress
        self._files = BoardFiles(session)
        self._checker = Checker(folder)
        self._ident = ""
        self._made: Any = None  # what a new unit would have to be made for
        self._boot_id: Any = None
        self._there: dict[str, str] = {}  # SHA-256 by path, as of that boot

    @property
    def places(self) -> list[Path]:
        """The folder, and the file that says that it is the application."""
        return [self._folder, self._file.path] if self._file else [self._folder]

    def refresh(self) -> Done:
        """Bring what differs to the board. UsageError for what is wrong here, of which nothing is
        sent; otherwise what deployments and files raise. Can be done again after any of them.
        """
        start = time.monotonic()
        if self._file:
            self._file.read()
        source = self._checker.read()
        status = self._session.status() or {}
        facts = facts_of(status)
        if facts.get("state") == app.CONFIRMED and facts.get("id") != self._ident:
            self._adopt(facts, source.name)
        wanted = (source.name, source.modules)
        if facts.get("state") != app.CONFIRMED or (facts.get("id"), wanted) != (
            self._ident,
            self._made,
        ):
            done = self._deploy(source)
        else:
            done = self._renew(source, status.get("boot_id"))
        return replace(done, seconds=time.monotonic() - start)

    def _adopt(self, facts: dict[str, Any], name: str) -> None:
        """Go on with the application of an earlier one of us."""
        version = str(facts.get("version"))
        if facts.get("name") != name or not version.startswith(VERSION):
            return
        ident = str(facts.get("id"))
        try:
            record = json.loads(self._files.read(f"{app.FOLDER}/{ident}.json"))
            self._made = (record["name"], record["modules"])
        except (BoardError, ValueError, KeyError, TypeError):
            return  # a new unit sets it right
        self._ident = ident

    def _deploy(self, source: Source) -> Done:
        """Bring all of it as a unit; WentBack where the board is back with the one before."""
        application = development_version(source, key_for(self._session))
        done = deploy(self._session, application, progress=self._progress)
        self._ident, self._made = application.id, (source.name, source.modules)
        self._boot_id = None
        return Done(size=done.sent, version=application.version)

    def _renew(self, source: Source, boot_id: Any) -> Done:
        """Replace the files that differ, where they lie."""
        if self._boot_id is None or boot_id != self._boot_id:
            self._there = self._listed()
        self._boot_id = None  # until all of it is done
        sums = {path: hashlib.sha256(data).hexdigest() for path, data in source.files.items()}
        put = [path for path in sums if self._there.get(path) != sums[path]]
        gone = [path for path in self._there if path not in sums]
        if put:
            contents = [(self._place(path), _reader(source.files[path])) for path in put]
            self._files.write_all(contents, parents=True)
        if gone:
            self._files.rm([self._place(path) for path in gone], force=True)
        modules = self._restart(source, {*put, *gone}) if put or gone else []
        self._there, self._boot_id = sums, boot_id
        size = sum(len(source.files[path]) for path in put)
        return Done(put, gone, size, modules)

    def _place(self, path: str = "") -> str:
        return f"{app.FOLDER}/{self._ident}/{path}"

    def _listed(self) -> dict[str, str]:
        try:
            entries = self._files.ls(self._place()[:-1], recursive=True, sha=True)
        except FileError as error:
            if error.reason == "ENOENT":
                return {}
            raise
        return {entry.path: entry.sha256 or "" for entry in entries if not entry.is_folder}

    def _restart(self, source: Source, touched: set[str]) -> list[Module]:
        """Start the modules anew that `touched` files are of; all where others import those."""
        listed = list_modules(self._session).modules
        ours = [
            module
            for module in listed
            if module.name in source.modules or module.file.startswith(self._place())
        ]
        own = {module.name: set(app.module_files(module.name)) for module in ours}
        if touched <= set().union(*own.values()):
            ours = [module for module in ours if own[module.name] & touched]
        else:
            self._forget([module.name for module in ours])
        return [self._start(module) for module in ours]

    def _forget(self, modules: Iterable[str]) -> None:
        code = _FORGET % (self._place(), tuple(modules))
        self._session.request("eval", code.encode())

    def _start(self, module: Module) -> Module:
        if module.disabled == _PERSON:
            return module
        action = ENABLE if module.disabled else RESTART
        return Module.of(change(self._session, action, module.name))


def development_version(source: Source, key: Any) -> Application:
    """Make an application that calls itself one under development, unlike any other's id."""
    history = read_history(source)
    version = f"{VERSION}{time.time_ns() // 10**6}"
    return Application.make(source, History(version, history.seq, False), key)


def _reader(data: bytes) -> Any:
    return lambda: data
