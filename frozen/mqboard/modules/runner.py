"""Runs the modules that the configuration names, each as a task of the supervisor.

A module is a file with `async def start(board, settings)` in one of the folders of folders.py, or
frozen by the user, or one of ours (_OURS), which a file of the same name goes before. What one dies
of stops nothing else: the supervisor starts it again after a pause. Files are loaded anew for each
start, and forgotten with its end, so that the memory of what died is free and new code is taken.
"""

import asyncio
import gc
import os
import sys

from micropython import const

_OURS = ("sysinfo",)  # in mqboard.modules
_MAIN = "main"  # the scripts that MicroPython runs without us: mqboard.modules.script
_FIRMWARE = "firmware"  # what is frozen or built in
_FORGIVEN_S = const(86400)  # a board that ran so long has the crashes before it forgotten
_ERROR_MAX = const(200)  # characters


class ModuleError(Exception):
    """Raised when a module is not what it must be; the text says what is wrong."""

    in_words = True  # for mqboard.health.supervisor: no traceback says more


class Module:
    """One module of the configuration, and what became of it."""

    why = ""  # it is not to run: the end of a sentence
    started = False  # the last time, it got as far as its start()
    starts = 0
    error = ""  # what it last died of, and where
    file = ""  # where it was found: a path, or _FIRMWARE
    trace = ""  # the traceback of what it last died of, while an application is on trial

    def __init__(self, board, name, settings):
        self._board = board
        self.name = name
        self.task = "module " + name
        self._settings = settings

    async def run(self):
        """Load the module and run its start(). What it dies of is kept, short, and raised."""
        self.starts += 1
        self.started = False
        try:
            await self._begin()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if isinstance(error, MemoryError):
                self._suspect()
            self._note(error)
            if isinstance(error, Exception) or _is_typed(error):
                raise
            raise ModuleError(self.error)  # that one would end the whole board
        finally:
            entry = self._board.supervisor.find(self.task)
            if entry and entry.stopped:
                self.error = "it was stopped: the heap was full"
            self._forget()

    def _note(self, error):
        text = _trace(error)
        self.error = _short(text) if text else type(error).__name__
        if self._board.config.app_trial:
            self.trace = text

    def _suspect(self):
        """Note that this was it, should the board itself now die for want of memory. The supervisor
        takes it back at its next turn, if there is room again.
        """
        try:
            self._board.blackbox.run(self.task)
        except MemoryError:
            pass

    def _begin(self):
        # The one before has left garbage: what this one keeps is not to lie scattered in it.
        gc.collect()
        start = self._run_scripts() if self.name == _MAIN else self._load()
        running = start(self._board, self._settings)
        if not hasattr(running, "send"):
            raise ModuleError("start() must be async def start(board, settings)")
        self.started = True
        return running

    def _load(self):
        name = self.name
        if name.startswith("_"):  # _boot would make the filesystem anew: it cannot mount it twice
            raise ModuleError("a name that begins with _ is no module's")
        if name in _OURS and not _has_file(name, self._board.config.app):
            name = "mqboard.modules." + name
        module = self._import(name)
        # A frozen module's begins without /, a built-in one has none.
        file = getattr(module, "__file__", getattr(module, "__path__", ""))
        self.file = _tidy(file) if file.startswith("/") else _FIRMWARE
        if not hasattr(module, "start"):
            raise ModuleError("%s has no start(board, settings): %s" % (name, self.file))
        return module.start

    def _import(self, name):
        try:
            return __import__(name, None, None, ("start",))
        except ImportError as error:
            missing = (str(error) + "''").split("'")[1]
            if not missing or not (name + ".").startswith(missing + "."):
                raise  # it is there, and what it imports is not
            folders = ", ".join(_folders(self._board.config.app))
            raise ModuleError("there is no %s.py or .mpy in %s" % (name, folders))

    def _run_scripts(self):
        """Run /boot.py and /main.py. Return the start() that they defined, or one that returns."""
        from mqboard.modules import script

        app = self._board.config.app
        app = app if app and _is_there(app + script.PATHS[-1]) else ""
        paths = [app + path for path in script.PATHS if _is_there(app + path)]
        if not paths:
            raise ModuleError("there is no /main.py")
        self.file = paths[-1]
        return script.run(paths).get("start", _nothing_more)

    def _forget(self):
        """Forget the code. What is frozen stays: it would not change."""
        if self.file.startswith("/") or self.name == _MAIN:
            sys.modules.pop(self.name, None)  # first of all: the rest needs memory
            inside = self.name + "."
            for name in [name for name in sys.modules if name.startswith(inside)]:
                del sys.modules[name]

    def state(self):
        """Return the state in one word, as docs/modules.md lists them."""
        if self.why:
            return "disabled"
        entry = self._board.supervisor.find(self.task)
        if entry is None:
            return "ended" if self.starts else "stopped"
        if entry.task and not entry.task.done():
            return "running"
        return "waiting" if self.started else "failed"


class Modules:
    """All modules of the configuration: `all` has them by name. `store` is a
    mqboard.health.bootrecord.Store.
    """

    stop_s = 5  # what a module has to end in

    def __init__(self, board, store):
        self._board = board
        self._store = store
        record = self.record()
        named = board.config.modules
        self.all = [Module(board, name, named[name]) for name in sorted(named)]
        for module in self.all:
            # On trial an application is not blamed for what its modules did in the one before it.
            if not (board.config.app_trial and record.crashes(module.name)):
                module.why = record.why(module.name)
        self.announce()

    def start(self):
        """Start those that are to run."""
        board, record = self._board, self.record()
        for module in self.all:
            if module.why:
                board.log.error("module %s is disabled %s", module.name, module.why)
            else:
                board.supervisor.add(module.task, module.run, vital=False)
        if any([record.crashes(module.name) for module in self.all]):
            board.supervisor.add("forgiving", self._forgive, vital=False)

    def record(self):
        """Return what NVS says of modules, a mqboard.modules.crashes.Record."""
        from mqboard.modules.crashes import Record

        return Record(self._store)

    def find(self, name):
        """Return the module of that name, or None."""
        for module in self.all:
            if module.name == name:
                return module
        return None

    def announce(self):
        """Have the birth message say which are disabled."""
        disabled = {module.name: module.why for module in self.all if module.why}
        if disabled != (self._board.identity.disabled or {}):
            self._board.identity.disabled = disabled or None
            self._board.announce()

    def stop(self, module):
        """Await it: stop a module, and return whether it has ended in time."""
        return self._board.supervisor.stop(module.task, self.stop_s)

    async def _forgive(self):
        await asyncio.sleep(_FORGIVEN_S)
        self.record().forgive()


def _folders(app):
    from mqboard.modules import folders

    return folders.user_path(app)


def _has_file(name, app):
    paths = ["%s/%s" % (folder, name) for folder in _folders(app)]
    return any([_is_there(path + end) for path in paths for end in ("", ".py", ".mpy")])


def _is_there(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False


async def _nothing_more(board, settings):
    pass


def _is_typed(error):
    from mqboard.health.outlive import typed

    return typed(error)


def _trace(error):
    """Return the traceback of an error, "" if there is no memory for it."""
    try:
        from mqboard.repl.trace import trace

        return _tidy(trace(error))
    except (MemoryError, ValueError):
        return ""


def _short(trace):
    """Return in one line what an error is and where in the user's code it happened."""
    from mqboard.health.bootrecord import shortened

    lines = trace.split("\n")
    places = [line.strip() for line in lines if line.startswith('  File "/')]
    return shortened(", ".join([lines[-1].rstrip(": ")] + places[-1:]), _ERROR_MAX)


def _tidy(text):
    return text.replace("//", "/")  # as what is found in the folder / is called
