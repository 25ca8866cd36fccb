"""Has the event loop outlive what a task raises and asyncio lets out, as all that is no Exception:
KeyboardInterrupt, SystemExit, GeneratorExit. Only Ctrl-C is meant for the whole board.

Loaded when that happens.
"""

import asyncio

from micropython import const

from mqboard.log import Logger

_JUMPS = const(50)  # Ctrl-C comes at the next one


def typed(error):
    """Return whether `error` is Ctrl-C, typed at the console or from afar. For that MicroPython has
    one object, ever the same: so it is provoked once more, to compare.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    try:
        Logger.console.interrupt()
        for _ in range(_JUMPS):
            pass
    except KeyboardInterrupt as real:
        return real is error
    return False


def outlive(error, main_task):
    """Have the task that raised `error` out of the loop be done as if that were an Exception. Raise
    it where it is Ctrl-C, or comes from `main_task`.
    """
    task = asyncio.core.cur_task  # None: `main_task` was cancelled
    if task in (None, main_task) or typed(error):
        raise error
    Logger("tasks").exception(error, "a task ends of what would end all")
    bury(task, RuntimeError("%r in a task" % error))


def run_until_complete(main_task=None):
    """Stand in for asyncio's own, which `main_task` ends alone, in a loop within the loop."""
    while True:
        try:
            return asyncio.run_until_complete(main_task)
        except Exception:
            raise
        except BaseException as error:
            outlive(error, main_task)


def bury(task, error):
    """Have `task`, which has ended, be done, of `error`, as asyncio does it."""
    waiting = task.state  # None and False: it is done
    if not waiting:
        return
    task.data = error
    task.state = False
    if waiting is True:
        task.state = None  # nobody waits
    elif callable(waiting):
        waiting(task, error)
    else:
        while waiting.peek():
            asyncio.core._task_queue.push(waiting.pop())
