"""Runs the user's /boot.py and /main.py, which the frozen ones hide: the module `main`.

They run as MicroPython would run them, one behind the other and with names in common. That may take
for ever: a script that ends in asyncio.run() turns the loop itself from then on, with all tasks of
the board, in the midst of the one that it was started in. Such a task cannot be stopped.
"""

import asyncio
import sys

NAME = "main"
PATHS = ("/boot.py", "/main.py")


class _Script:
    """Stands for a script in sys.modules: its functions tell the supervisor whose task one is."""

    def __init__(self, names):
        self._names = names

    def __getattr__(self, name):
        if name not in self._names:
            raise AttributeError(name)
        return self._names[name]


def run(paths):
    """Run the scripts `paths`; return their names, a dict."""
    names = {"__name__": "__main__"}
    sys.modules[NAME] = _Script(names)
    for path in paths:
        # Not by import, which finds the frozen ones. The text is gone before it runs.
        _execute(_compile(path), names)
    return names


def _compile(path):
    with open(path) as file:
        return compile(file.read(), path, "exec")


def _execute(code, names):
    """Execute `code`; put right what starting the loop within the loop leaves wrong."""
    core = asyncio.core
    task = getattr(core, "cur_task", None)  # None: this is CPython
    renew, asyncio.new_event_loop = asyncio.new_event_loop, asyncio.get_event_loop
    if task:
        from mqboard.health.outlive import run_until_complete

        core.run_until_complete = run_until_complete
    try:
        exec(code, names)
    finally:
        asyncio.new_event_loop = renew  # a script that cleans up would have ended all tasks
        if task:
            core.run_until_complete = asyncio.run_until_complete
            core.cur_task = task
            if task.data:  # cancelled while it ran
                task.data = None
                raise asyncio.CancelledError
