"""Runs modules of the user from a scratch folder, on a board that is nothing but a supervisor."""

import asyncio
import json
import sys

from fakes import FakeLog, FakeNvs, black_box, run, scratch, until

from mqboard.commands import modules as command
from mqboard.health.bootrecord import Store
from mqboard.health.supervisor import Supervisor
from mqboard.log import Logger
from mqboard.modules import folders, runner, script

GOOD = "import asyncio\nasync def start(board, settings):\n    board.ran.append(settings)\n"
GOOD += "    await asyncio.sleep(60)\n"


PATH = list(sys.path)


class Facts:
    """Has what it is given as attributes."""

    def __init__(self, **facts):
        for name in facts:
            setattr(self, name, facts[name])


class Console:
    """A console at which nobody types Ctrl-C."""

    def interrupt(self):
        pass


class Request:
    """A request of the command `modules` that collects what it is answered."""

    def __init__(self, text):
        self.body = text.encode()
        self.said = b""
        self.refused = None

    async def reply(self, data=b"", last=True):
        self.said += data

    async def error(self, text):
        self.refused = text.decode()


class Bench:
    """A board with modules: `files` maps names in the scratch folder to their text."""

    def __init__(self, files, modules=None, mode="normal", nvs=None):
        self.folder = scratch()
        for name in files:
            self.write(name, files[name])
        folders.user_path = lambda app: (self.folder,)
        script.PATHS = tuple([self.folder + "/" + name for name in ("boot.py", "main.py")])
        sys.path[:] = PATH + [self.folder]
        if hasattr(sys, "dont_write_bytecode"):  # CPython sees no changes within a second
            sys.dont_write_bytecode = True
        self.nvs = nvs or FakeNvs()
        self.ran = []  # settings of the modules that started
        self.log = FakeLog()
        self.identity = Facts(disabled=None, mode=mode)
        self.announced = 0
        named = modules or {name[:-3]: {} for name in files if name.endswith(".py")}
        for name in named:  # MicroPython leaves the tasks of the test before where they are
            if "." not in name:
                sys.modules.pop(name, None)
        self.config = Facts(modules=named, app="", app_trial=False, app_modules=named, health_s=0)
        Logger.console = Logger.console or Console()
        self.blackbox = black_box()
        self.supervisor = Supervisor(lambda: None, 60_000, self.blackbox, self.log)
        self.modules = runner.Modules(self, Store(self.nvs))

    def write(self, name, text):
        with open(self.folder + "/" + name, "w") as file:
            file.write(text)

    def announce(self):
        self.announced += 1

    def start(self):
        self.modules.start()
        self.task = asyncio.create_task(self.supervisor.run())
        return self

    async def until_state(self, name, *states):
        module = self.modules.find(name)
        await until(lambda: module.state() in states and (module.starts or module.why))
        return module

    async def ask(self, text):
        request = Request(text)
        await command.answer(self, request)
        return request.refused or json.loads(request.said)


def start_and_wait(files, name, *states, **more):
    """Start modules and return the one of that name when it is in one of those states."""

    async def go():
        bench = Bench(files, **more).start()
        module = await bench.until_state(name, *states)
        return bench, module

    return run(go())
