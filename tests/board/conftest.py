"""Makes the on-board modules importable on CPython: their paths, and what only MicroPython has."""

import asyncio
import sys
import traceback
import types
from pathlib import Path

HERE = Path(__file__).parent
FROZEN = HERE.parents[1] / "frozen"
for folder in (FROZEN, FROZEN / "bridge", FROZEN / "gateway", HERE, HERE / "cpython"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

# MicroPython's scheduler: what is imported with it is not run here.
if not hasattr(asyncio, "core"):
    asyncio.core = types.ModuleType("asyncio.core")
# For MicroPython every generator is a coroutine.
asyncio.coroutine = types.coroutine


def _print_exception(error, file=None):
    text = "".join(traceback.format_exception(error))
    (file.write(text.encode()) if file is not None else sys.stdout.write(text))


sys.print_exception = _print_exception
