"""Tells which loggers there are and what they let through, and changes that until the next boot."""

import json

from mqboard.log import Logger, set_levels
from mqwire import MAX_NAME
from mqwire.config import LOG_LEVELS


async def answer(board, request):
    """Do what the body wishes, if there is one, and say what holds now; see docs/protocol.md."""
    try:
        wish = json.loads(request.body) if request.body else {}
        if not isinstance(wish, dict):
            raise ValueError("what is wished must be an object, {...}")
        set_levels(*_wished(wish, board.config))
    except (ValueError, AttributeError, TypeError, RuntimeError) as error:  # it is no such JSON
        await request.error(b"log: %s" % str(error).encode())
        return
    own = {name: None if level is None else LOG_LEVELS[level] for name, level in _loggers()}
    now = {"level": LOG_LEVELS[Logger.level], "levels": own, "dropped": board.console.dropped}
    await request.reply(json.dumps(now).encode())


def _loggers():
    return Logger.levels.items()


def _wished(wish, config):
    """Return the level of all, and those of some, as they are after `wish`; raise ValueError."""
    level = LOG_LEVELS[Logger.level]
    levels = {name: LOG_LEVELS[own] for name, own in _loggers() if own is not None}
    if "level" in wish:
        level = wish["level"] or config.level
    if "levels" in wish:
        if wish["levels"] is None:
            levels = config.levels
        else:
            for name, own in wish["levels"].items():
                levels[name] = own or config.levels.get(name)
    levels = {name: own for name, own in levels.items() if own is not None}
    for own in [level] + list(levels.values()):
        if own not in LOG_LEVELS:
            raise ValueError("%r is no level; there are %s" % (own, ", ".join(LOG_LEVELS)))
    for name in levels:
        if len(name.encode()) > MAX_NAME:
            raise ValueError("no logger has so long a name")
    return level, levels
