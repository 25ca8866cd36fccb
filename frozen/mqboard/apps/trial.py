"""Watches over the modules of an application on trial, and confirms it."""

from micropython import const

from mqboard.apps.record import Record
from mqboard.apps.stage import tidy
from mqwire import app

_DEATHS_MAX = const(3)  # of one module


class AppTrial:
    """The trial that `board` is in; `store` is a health.bootrecord.Store."""

    def __init__(self, board, store):
        self._board = board
        self._store = store

    def trouble(self):
        """Return what keeps its modules from being well, "" if nothing does."""
        board = self._board
        if board.config.app_modules and not board.modules:  # see mqboard.modules.begin
            return "its modules could not be started"
        for module in self._modules():
            state = module.state()
            entry = board.supervisor.find(module.task)
            young = entry and board.supervisor.seconds - entry.since < board.config.health_s
            if state not in ("running", "ended", "disabled") or state == "running" and young:
                return "module %s: %s" % (module.name, self._error(module) or state)
        return ""

    def verdict(self):
        """Return why it is to be given up now, "" if it is not: a module died again and again."""
        for module in self._modules():
            entry = self._board.supervisor.find(module.task)
            if entry and entry.deaths >= _DEATHS_MAX and not entry.task:
                told = module.name, entry.deaths, self._error(module)
                return "module %s died %d times: %s" % told
        return ""

    def keep_trace(self):
        """Keep the traceback of a module that does not run, for when this is given up."""
        for module in self._modules():
            if module.trace and module.state() != "running":
                Record(self._store).keep_trace(module.trace)
                return

    async def confirm(self):
        """Make it the one that runs from now on; remove what is not needed any more. Raises
        OSError.
        """
        board = self._board
        record = Record(self._store)
        record.confirm()
        board.config.app_trial = False
        board.identity.app["state"] = app.CONFIRMED
        board.identity.app.pop("failed", None)
        for module in self._modules():  # what the one before it did is forgotten
            module.trace = ""
            crashes = board.modules.record()
            if crashes.crashes(module.name):
                try:
                    crashes.enable(module.name)
                except OSError as error:
                    board.log.error("NVS: %s", error)
        board.announce()
        board.log.info("application %s %s confirmed", record.now["name"], record.now["version"])
        try:
            await tidy(record.ids())
        except (OSError, ValueError) as error:  # the next one tries again
            board.log.error("old applications cannot be removed: %s", error)

    def _error(self, module):
        """Return what a module last died of; its files as they are in the application."""
        return module.error.replace('"%s/' % self._board.config.app, '"')

    def _modules(self):
        board = self._board
        for module in board.modules.all if board.modules else ():
            if module.name in board.config.app_modules:
                yield module
