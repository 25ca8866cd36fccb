"""Names what both ends say of a boot that ended badly: how it ended.

Sources: docs/protocol.md, "Crashes".
"""

WATCHDOG = "watchdog"  # a task did not yield
EXCEPTION = "exception"  # one came out of the board's run, with its traceback
RESET = "reset"  # by the chip's panic handler, or by machine.reset() in somebody's code: the same

KINDS = (WATCHDOG, EXCEPTION, RESET)
