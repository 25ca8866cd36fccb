"""Lists the applications that a board has, and goes back to the one before: the command `apps`.

The body is a JSON object, `{}` for the list, {"rollback": true, "force": …} to go back. The answer
is one, too:

    {"now", "before": {"id", "name", "version", "seq", "committed"} or null, "state" (mqwire.app),
     "seq": the highest that was confirmed, "failed": the one that failed last or null,
     "trace": what a module of that one died of}
    {"id", "name", "version", "window_s", "boot_id"}   it leaves that boot to try that one
    {"refused": why, "code": mqwire.codes}
"""

import asyncio
import json

from esp32 import NVS

from mqboard.apps import manifest as manifests
from mqboard.apps.record import Record
from mqboard.apps.stage import Stage
from mqboard.commands.deploy import check_state, leave, refusal, trial
from mqboard.health.bootrecord import NAMESPACE, Store
from mqboard.update.errors import Refusal
from mqwire import app, codes


async def answer(board, request):
    """Answer with the list, or go back and restart."""
    record = Record(Store(NVS(NAMESPACE)))
    try:
        options = json.loads(str(request.body, "utf-8") or "{}")
        rollback = options.get("rollback") is True
        force = options.get("force") is True
    except (ValueError, AttributeError, RuntimeError):
        await request.error(b"the options are no JSON object")
        return
    if not rollback:
        await request.reply(json.dumps(_facts(board, record)).encode())
        return
    try:
        entry = await _go_back(board, record, force)
    except Refusal as error:
        await request.reply(refusal(error.code, error.detail))
    except OSError as error:
        await request.reply(refusal(codes.FLASH_ERROR, "files or NVS: %s" % error))
    else:
        told = {word: entry[word] for word in ("id", "name", "version")}
        told.update(trial(board))
        try:
            await request.reply(json.dumps(told).encode())
        finally:  # it is to be tried, whether there was memory to say so or not
            await leave(board)


def _facts(board, record):
    return {
        "now": record.now,
        "before": record.before,
        "state": board.identity.app["state"] if board.identity.app else app.NONE,
        "seq": record.seq,
        "failed": record.failed,
        "trace": record.trace() if record.failed else "",
    }


async def _go_back(board, record, force):
    """Have the next boot try the application before this one, and return its entry."""
    entry = record.before
    if not entry:
        raise Refusal(codes.REFUSED, "it has no application before this one")
    if board.deploying:
        raise Refusal(codes.BUSY, "another application is on its way")
    check_state(board)
    oldest = 0 if board.config.allow_downgrade else record.seq
    if entry["seq"] < oldest:
        below = "the seq %d of %s %s is below %d, the highest that was confirmed here"
        below %= (entry["seq"], entry["name"], entry["version"], oldest)
        if not board.config.allow_rollback:
            text = ", and the configuration does not say update.allow_rollback"
            raise Refusal(codes.TOO_OLD, below + text)
        if not force:
            raise Refusal(codes.TOO_OLD, below + "; it takes --force")
    stage = Stage(manifests.Manifest(entry["id"]), lambda: asyncio.sleep(0))
    if await stage.missing():
        raise Refusal(codes.IMAGE_HASH, "its files are not as they were")
    record.switch(entry)
    return entry
