"""Starts the user's modules, once in a boot."""

import os
import sys

from mqboard.modules.folders import user_path

_SCRIPTS = ("/boot.py", "/main.py")
# What is built in, and used by modules that are loaded when they are needed, so again and again.
# Others that we use are found before all files anyway.
BUILT_IN = (
    "binascii",
    "collections",
    "errno",
    "hashlib",
    "io",
    "json",
    "machine",
    "network",
    "os",
    "random",
    "select",
    "socket",
    "struct",
    "time",
)


def begin(board, store):
    """Start what the configuration of `board` names; `store` is a health.bootrecord.Store."""
    try:
        _begin(board, store)
    except Exception as error:  # no module is worth a board that nobody can reach
        board.log.exception(error, "not all modules could be started")


def pin(names):
    """Keep the built-in modules `names` loaded, so that no file can stand in for them: MicroPython
    looks for them anew with each import, and among files first.
    """
    for name in names:
        sys.modules[name] = __import__(name)


def _begin(board, store):
    named = board.config.modules
    if named:
        from mqboard.modules.runner import Modules  # a board without any has the memory

        board.modules = Modules(board, store)
    if board.identity.mode == "safe":
        return
    pin(BUILT_IN)
    sys.path.extend(user_path(board.config.app))  # see _boot.py
    if named:
        board.modules.start()
    for path in () if "main" in named else _SCRIPTS:
        try:
            os.stat(path)
        except OSError:
            continue
        board.log.warning('%s does not run unless "modules" names "main"', path)
