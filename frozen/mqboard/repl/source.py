"""Compiles code so that the value of its last expression is shown, as at a prompt.

The compiler has the values of expressions printed in a text that it is given as a `single`
statement: so the last line of the code, if a simple statement begins there. That it does is seen by
compiling what is before it: where that ends in the middle of something it does not compile.
"""

from micropython import const

_COMPOUND = ("if", "for", "while", "with", "try", "def", "class", "async", "@")
_IN_STATEMENT = " \t)]}#"  # a line that begins so begins no statement
_TRIES = const(8)


def compiled(source, file):
    """Return the code objects of `source` in their order; raises what the compiler does."""
    end = len(source)
    for _ in range(_TRIES):
        start = source.rfind("\n", 0, end) + 1
        line = source[start:end].rstrip()
        if line and line[0] not in _IN_STATEMENT:
            parts = _split(source, start, file)
            if parts:
                return parts
        if not start:
            break
        end = start - 1
    return (compile(source, file, "exec"),)


def _split(source, start, file):
    """Return the code of what is before `start` and behind it, or None where that is no place."""
    tail = source[start:]
    for word in _COMPOUND:
        if tail.startswith(word) and not (tail[len(word) :] + " ")[0].isalpha():
            return None
    try:
        # Continued lines in front: tracebacks tell the right one.
        last = compile("\\\n" * source[:start].count("\n") + tail, file, "single")
        return (compile(source[:start], file, "exec"), last) if start else (last,)
    except SyntaxError:
        return None
