"""Runs code on a board: a session and text go in; output as it comes, then how it ended. Also what
a prompt needs besides: completion on the board, and ending what runs there.

    with Session(settings) as session:
        run = start(session, "import gc; gc.mem_free()")
        for output in run:  # bytes, as the board prints them
            ...
        run.result.error  # the traceback, or None

`run.interrupt()` is Ctrl-C on the board, from any thread and as often as wanted: the code may catch
it, as at any prompt; the iteration goes on until it has ended. docs/protocol.md has what travels.
`typed` decides for a prompt whether a text is whole, `names` completes with a memory.
"""

from mqhost.repl.completion import Completion, complete
from mqhost.repl.running import Result, Run, start
from mqhost.repl.underway import Command, cancel, under_way

__all__ = [
    "Command",
    "Completion",
    "Result",
    "Run",
    "cancel",
    "complete",
    "start",
    "under_way",
]
