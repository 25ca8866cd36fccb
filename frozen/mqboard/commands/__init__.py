"""Answers the commands of people, a module each with `async def answer(board, request)`: a request
goes in; a reply comes out.

They are loaded with their first use: most boards wait for years between two of them, and an idle
board has the memory for the user.
"""

# Those that manage the board do not wait behind an operator's work, which is code from afar.
MANAGING = (
    "update",
    "apps",
    "cancel",
    "clock",
    "config",
    "crash",
    "deploy",
    "log",
    "modules",
    "mount",
    "rollback",
    "running",
)
WORKING = ("complete", "eval", "exec")
