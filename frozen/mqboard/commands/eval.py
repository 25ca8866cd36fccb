"""Evaluates an expression or executes statements, as the first MQBoard's clients know it.

The reply is the repr() of an expression, after what it printed, and instead of None when it printed
something; of statements, what they print, with the value of a last one that is an expression.
"""

from mqboard.health.blackbox import BY_CODE, SILENT
from mqboard.repl import jobs
from mqboard.repl.source import compiled
from mqboard.repl.trace import trace


async def answer(board, request):
    """Answer with output as it comes; with a traceback as an error."""
    source = str(request.body, "utf-8")
    request.body = None  # a long one is large beside its own text
    job = jobs.begin(board, request, source)
    box = board.blackbox
    try:
        box.evaluated = True
        box.run("eval %s %s" % (job.ident, job.text))
        box.end(BY_CODE if "reset(" in source else SILENT)
        job.enter()
        try:
            _run(source, board.names, job.output)
        finally:
            job.leave()
    except MemoryError:
        raise
    except BaseException as error:  # its own SystemExit or KeyboardInterrupt, too
        if job.output.total:
            await request.reply(job.output.rest(), last=False)
        await request.error(trace(error).encode())
        return
    finally:
        box.end(SILENT)
        box.run("")
        jobs.end(board, job)
    await request.reply(job.output.rest())


def _run(source, names, output):
    try:
        code = compile(source, "<eval>", "eval")
    except SyntaxError:
        for code in compiled(source, "<eval>"):
            exec(code, names)
        return
    value = eval(code, names)
    if value is not None or not output.total:
        output.write(repr(value).encode())
