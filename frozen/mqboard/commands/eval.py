"""Evaluates an expression or executes statements, as the first MQBoard's clients know it.

The reply is the repr() of an expression, after what it printed, and instead of None when it printed
something; of statements, what they print, with the value of a last one that is an expression.
"""

from mqboard.repl.plain import run
from mqboard.repl.source import compiled
from mqboard.repl.trace import trace


async def answer(board, request):
    """Answer with output as it comes; with a traceback as an error."""
    source = str(request.body, "utf-8")
    request.body = None  # a long one is large beside its own text
    if "modules['watchdog']" in source:
        from mqboard.repl import watchdog  # so that tool resets, which knows no command for that

        watchdog.lend(board)
    output, error = run(board, request, source, lambda output: _run(source, board.names, output))
    if isinstance(error, MemoryError):
        raise error
    if error:
        if output.any():
            await request.reply(output.rest(), last=False)
        await request.error(trace(error).encode())
    else:
        await request.reply(output.rest())


def _run(source, names, output):
    try:
        code = compile(source, "<eval>", "eval")
    except SyntaxError:
        for code in compiled(source, "<eval>"):
            exec(code, names)
        return
    value = eval(code, names)
    if value is not None or not output.any():
        output.write(repr(value).encode())
