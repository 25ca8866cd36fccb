"""Decides what a prompt does with what was typed so far: run it, or take another line.

Python's own compiler tells whether a text is whole. What it does not understand a board may all the
same, so that is sent; of a block only once a blank line has ended it.
"""

import ast
import codeop
import io
import re
import textwrap
import tokenize

INDENT = 4  # spaces
_COMPOUND = re.compile(r"(@|(if|while|for|try|with|def|class|async|match)\b)")
_LEAVES = re.compile(r"\s*(return|raise|break|continue|pass)\b")
_LEAVING = re.compile(r"(?:(?:sys\.)?exit|quit)\s*(?:\(\s*([0-9]{0,3})\s*\))?")
_DOTTED = re.compile(r"(?:[^\W\d]\w*\.)*(?:[^\W\d]\w*)?$")
_IMPORT = re.compile(r"\s*(?:import\s+(?:[\w.]+(?:\s+as\s+\w+)?\s*,\s*)*|from\s+)([\w.]*)")
_FROM = re.compile(r"\s*from\s+([\w.]+)\s+import\s+(?:.*,\s*)?(\w*)")
_NO_NAME_BEFORE = (".", ")", "]", "}", '"', "'")


def is_whole(text: str) -> bool:
    """Return whether `text` can run as it is; else it goes on in another line.

    As in Python a blank line ends a block, and everything in brackets or quotes goes on until they
    are closed. Several statements behind each other, as they are pasted, are one text.
    """
    blank = not text.rpartition("\n")[2].strip()
    try:
        compiler = codeop.CommandCompiler()
        compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        if compiler(text, "<stdin>", "exec") is None:
            return False
        body = ast.parse(text).body
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        begins_block = _COMPOUND.match(text) and ("\n" in text or text.rstrip().endswith(":"))
        return blank or not begins_block
    return blank or not body or not _is_block(body[-1])


def _is_block(statement: ast.stmt) -> bool:
    return hasattr(statement, "body") or isinstance(statement, ast.Match)


def next_indentation(text: str) -> str:
    """Return the spaces with which the line after `text` begins, if it goes on there."""
    line = text.rpartition("\n")[2]
    indentation = line[: len(line) - len(line.lstrip())]
    if _ends_with_colon(line):
        return indentation + " " * INDENT
    if _LEAVES.match(line):
        return indentation[: -INDENT or None] if len(indentation) >= INDENT else ""
    return indentation


def _ends_with_colon(line: str) -> bool:
    """Return whether a line, without a comment behind it, ends with a colon."""
    last = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(line.strip()).readline):
            if token.type in (tokenize.OP, tokenize.NAME, tokenize.NUMBER, tokenize.STRING):
                last = token.string
    except (tokenize.TokenError, SyntaxError):
        pass  # as of an open bracket: that is no end
    return last == ":"


def as_sent(text: str) -> str:
    """Return `text` without what was only there to type it: blank ends, and the indentation of a
    piece that was cut out of a block.
    """
    text = text.rstrip().lstrip("\n")
    try:
        ast.parse(text)
    except IndentationError:
        return textwrap.dedent(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    return text


def as_remembered(text: str) -> str:
    """Return `text`, as it was sent, as a history has it: a block with the line that ends it."""
    return text if is_whole(text) else text + "\n"


def exit_code(text: str) -> int | None:
    """Return the code with which `exit()`, `quit()` or `sys.exit()` leaves; None for other code."""
    found = _LEAVING.fullmatch(text.strip())
    return int(found[1] or 0) if found else None


def dotted_word(line: str) -> str:
    """Return the dotted names at the end of `line` that can be completed, "" if there are none.

    `a.b(c).d` is none: nothing is called to complete it. In `from a import b` it is `a.b`.
    """
    if imported := _FROM.fullmatch(line):
        return f"{imported[1]}.{imported[2]}"
    found = _DOTTED.search(line)
    word = found[0] if found else ""
    before = line[: len(line) - len(word)]
    if not word or before.endswith(_NO_NAME_BEFORE) or before[-1:].isalnum():
        return ""
    return word


def module_word(line: str) -> str | None:
    """Return the beginning of a module's name at the end of `line`, which imports it; else None."""
    found = _IMPORT.fullmatch(line)
    return found[1] if found else None
