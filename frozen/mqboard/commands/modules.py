"""Lists the configured modules; enables, disables and restarts one: the command `modules`.

The body is `list`, or one of these words and a module's name. Enabled and disabled is kept over
resets, and can be changed in safe mode, too, where no module runs.
"""

import asyncio
import json
import sys

from micropython import const

_BEGINNING_S = const(2)  # for what is started, until it runs or has failed
_TURN_S = 0.05


class _Refused(Exception):
    pass


async def answer(board, request):
    """Answer with one JSON object: of all modules, or of the one that something was done to."""
    action, _, name = str(request.body, "utf-8").strip().partition(" ")
    try:
        if action in ("", "list"):
            await _list(board, request)
            return
        if action not in _ACTIONS:
            raise _Refused("no such action: %s" % action)
        module = board.modules.find(name) if board.modules else None
        if not module:
            raise _Refused("no module %s in the configuration" % name)
        await _ACTIONS[action](board, module)
    except _Refused as refused:
        await request.error(str(refused).encode())
        return
    await request.reply(json.dumps(_facts(board, module)).encode())


async def _list(board, request):
    opening = '{"mode": "%s", "modules": [' % board.identity.mode
    for module in board.modules.all if board.modules else ():
        await request.reply((opening + json.dumps(_facts(board, module))).encode(), last=False)
        opening = ", "
    await request.reply(("" if opening == ", " else opening).encode() + b"]}")


def _facts(board, module):
    entry = board.supervisor.find(module.task)
    facts = {
        "name": module.name,
        "state": module.state(),
        "restarts": max(module.starts - 1, 0),
        "crashes": board.modules.record().crashes(module.name),
        "file": module.file,
        "error": module.error or None,
        "disabled": module.why or None,
    }
    if entry:
        facts["since_s"] = board.supervisor.seconds - entry.since
    if entry and not entry.task:
        facts["again_s"] = max(entry.pause - facts["since_s"], 0)
    code = sys.modules.get(module.name)
    if module.state() == "running" and hasattr(code, "statistics"):
        try:
            facts["statistics"] = code.statistics(board)
        except Exception as error:
            facts["statistics"] = repr(error)
    return facts


async def _enable(board, module):
    _note(board, module, "enable")
    if not board.supervisor.find(module.task):
        await _start(board, module)


async def _disable(board, module):
    _note(board, module, "disable")
    await _stop(board, module)


async def _restart(board, module):
    if module.why:
        raise _Refused("%s is disabled %s: enable it" % (module.name, module.why))
    if board.identity.mode == "safe":
        raise _Refused("no module runs in safe mode")
    await _stop(board, module)
    await _start(board, module)


def _note(board, module, action):
    record = board.modules.record()
    try:
        getattr(record, action)(module.name)
    except (OSError, MemoryError) as error:
        raise _Refused("NVS does not take it: %s" % error)
    finally:
        module.why = record.why(module.name)
        board.modules.announce()


async def _stop(board, module):
    if not await board.modules.stop(module):
        raise _Refused(
            "%s has not ended in %d s: what was asked for comes with the next reset"
            % (module.name, board.modules.stop_s)
        )


async def _start(board, module):
    """Start it; wait until it runs or has failed, so that the answer says so."""
    if board.identity.mode == "safe":
        return
    module.error, module.starts = "", 0
    board.supervisor.add(module.task, module.run, vital=False)
    for _ in range(int(_BEGINNING_S / _TURN_S)):
        await asyncio.sleep(_TURN_S)
        if module.starts and (module.started or module.error):
            break


_ACTIONS = {"enable": _enable, "disable": _disable, "restart": _restart}
