"""Runs code in a task of its own: output streams while it runs, and others' commands go on.

The body is a JSON object of options, a newline, and the source. The first reply message tells that
it has begun, then its output comes, and the last one how it ended: see docs/protocol.md.
"""

import asyncio
import gc
import json
import sys

from micropython import const

from mqboard.health.blackbox import BY_CODE, SILENT
from mqboard.repl import jobs
from mqboard.repl.source import compiled
from mqboard.repl.trace import trace

_FILE = "<stdin>"
_BEGINNING = const(80)  # characters, of which a job shows less
_NO_MEMORY = "MemoryError: not enough memory to tell where"


async def answer(board, request):
    """Begin, or say why not."""
    running = board.router.jobs
    if running and len(running.all) >= jobs.MOST:
        what = ", ".join(["%s (%s)" % (job.ident, job.text) for job in running.all])
        await request.error(b"busy: this runs already: " + what.encode())
        return
    head, newline, source = bytes(request.body).partition(b"\n")
    try:
        options = json.loads(head)
        if not newline or not isinstance(options, dict):
            raise ValueError
    except ValueError:
        await request.error(b"exec: a JSON object of options must come first, and a newline")
        return
    credit = options.get("credit")
    if credit is not None and not isinstance(credit, int):
        await request.error(b"exec: credit must be a number of bytes, a whole one")
        return
    source = str(source, "utf-8")
    request.body = b""
    job = jobs.begin(board, request, _beginning(source, options.get("await")), credit)
    supervisor = board.supervisor
    try:
        name = "exec %s %s" % (job.ident, job.text)
        code = _run(board, job, request, source, options)
        supervisor.add(name, lambda: _supervised(supervisor, name, code), vital=False)
        job.task = supervisor.find(name).task
    except MemoryError:
        jobs.end(board, job)
        raise


def _beginning(source, function):
    """Return how code begins as it was typed: without the `function` around what awaits."""
    start = 0
    if function and source.startswith("async def %s(" % function):
        start = source.find("\n", source.find("\n") + 1) + 1
    return source[start : start + _BEGINNING].strip()


async def _supervised(supervisor, name, code):
    try:
        await code
    finally:
        supervisor.forget(name)


async def _run(board, job, request, source, options):
    """Run it to its end; raise nothing, or the supervisor would begin anew."""
    told = {}
    box = board.blackbox
    try:
        job.began = True
        begun = json.dumps({"boot_id": board.identity.boot_id})
        await request.reply(begun.encode(), last=False, qos=0)
        if not job.cancelled:
            box.evaluated = True
            box.run("exec %s %s" % (job.ident, job.text))
            box.end(BY_CODE if "reset(" in source else SILENT)
            try:
                await job.steps(_execute(board.names, source, options, box))
            finally:
                box.end(SILENT)
                box.run("")
    except SystemExit as error:
        left = error.args[0] if error.args else None
        if left:
            told["exit"] = left if isinstance(left, int) else str(left)
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        told["error"] = _trace(error)
    except BaseException as error:
        told["error"] = _trace(error)
    finally:
        jobs.end(board, job)
    await _tell_end(job, request, told)


async def _execute(names, source, options, box):
    file = str(options.get("file") or _FILE)
    codes = compiled(source, file) if options.get("show") else (compile(source, file, "exec"),)
    source = None
    if isinstance(options.get("argv"), list):
        sys.argv[:] = [str(word) for word in options["argv"]]
    for code in codes:
        exec(code, names)
    name = options.get("await")
    if name:
        waiting = names.pop(name)()
        box.run("")  # from its first wait on others run, too: the supervisor looks who blocks
        await waiting


def _trace(error):
    try:
        return trace(error)
    except MemoryError:
        gc.collect()
        return _NO_MEMORY


async def _tell_end(job, request, told):
    if job.cancelled:
        told["cancelled"] = True
    output = job.output
    rest = output.rest()
    if rest and output.short():
        output.dropped += len(rest)
    elif rest:
        await request.reply(rest, last=False, qos=0)
    if output.dropped:
        told["dropped"] = output.dropped
    try:
        await request.reply(json.dumps(told).encode())
    except MemoryError:
        gc.collect()
        await request.error(_NO_MEMORY.encode())
