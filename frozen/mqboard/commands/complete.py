"""Completes dotted names: what a prompt offers for the beginning of a name or of an attribute."""

import builtins
import json

from micropython import const

_MOST = const(100)
_MOST_BYTES = const(2000)


async def answer(board, request):
    """Answer with JSON: `names`, whole last words; `more` if there are others."""
    try:
        names = completions(str(json.loads(request.body)["text"]), board.names)
    except (ValueError, TypeError, KeyError):
        await request.error(b'complete: {"text": "board.cl"} is what it takes')
        return
    told = []
    room = _MOST_BYTES
    for name in sorted(names)[:_MOST]:
        room -= len(name) + 4
        if room > 0:
            told.append(name)
    await request.reply(json.dumps({"names": told, "more": len(told) < len(names)}).encode())


def completions(text, names):
    """Return the names that may stand in place of the last word of `text`; calls nothing."""
    *path, beginning = text.split(".")
    if path:
        try:
            found = names[path[0]] if path[0] in names else getattr(builtins, path[0])
            for word in path[1:]:
                found = getattr(found, word)
        except Exception:  # a property may raise anything
            return set()
        names = dir(found)
    else:
        names = list(names) + dir(builtins)
    return {
        name
        for name in names
        if name.startswith(beginning) and (beginning or not name.startswith("_"))
    }
