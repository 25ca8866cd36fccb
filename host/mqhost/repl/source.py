"""Prepares code for a board: top-level `await`, which MicroPython's compiler does not know.

Such code becomes the body of an `async def`, every name that it binds a global there, and the board
awaits that. Lines move by the two in front only, which the file's name tells (`NAME+2`), and
strings stay as they are: each logical line gets one space more of indentation. At the top level
`asyncio.run(…)` is an `await`, too: the board's event loop runs already. Other code is not touched.
"""

import ast
import io
import tokenize
from dataclasses import dataclass
from typing import Any

from mqhost.errors import UsageError
from mqhost.link.settings import as_utf8

STDIN = "<stdin>"
_FUNCTION = "__await__"  # no name that anybody has
_ASYNCIO = ("asyncio", "uasyncio")
_MAX_FILE = 60  # of a file's name: each that is new takes memory for ever


@dataclass(frozen=True)
class Prepared:
    """What is sent: the options of `exec` that go with `text`."""

    text: bytes
    options: dict[str, Any]


def prepare(source: str, show: bool, file: str = STDIN) -> Prepared:
    """Return how `source` is to be run, with `file` as its name in tracebacks.

    `show`: the value of a last expression is printed, unless it is None. What Python cannot parse
    goes as it is: the board says what is wrong with it. UsageError for what is no UTF-8.
    """
    source = source.replace("\r\n", "\n")
    file = file[-_MAX_FILE:]
    as_it_is = Prepared(as_utf8(source, "the code"), {"file": file, "show": show})
    try:
        tree = ast.parse(source)
        if not _awaits(tree):
            return as_it_is
        text = _wrapped(source, tree, show)
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
        return as_it_is
    options = {"file": f"{file}+2", "show": False, "await": _FUNCTION}
    return Prepared(as_utf8(text, "the code"), options)


def awaits(source: str) -> bool:
    """Return whether `source` has an `await` that is in no function, or what is one here."""
    try:
        return _awaits(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError):
        return False


def read_file(path: Any) -> str:
    """Return the text of a file of Python, which is UTF-8; UsageError if it cannot be had."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return str(data, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no UTF-8, at byte {error.start}.") from error


class _TopLevel(ast.NodeVisitor):
    """Looks at a module without the functions in it: what it awaits, and which names it binds."""

    def __init__(self) -> None:
        self.awaits = False
        self.in_function = False  # something stands there that only a function may have
        self.runs: list[ast.expr] = []  # the `asyncio.run` of calls
        self.names: set[str] = set()
        self.declared: set[str] = set()
        self._comprehensions = 0

    def visit_Await(self, node: ast.Await) -> None:
        self.awaits = True
        self.generic_visit(node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.awaits = True
        self.generic_visit(node)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        self.awaits = True
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func
        if (
            isinstance(name, ast.Attribute)
            and name.attr == "run"
            and name.lineno == name.end_lineno
        ):
            loop = isinstance(name.value, ast.Name) and name.value.id in _ASYNCIO
            if loop and len(node.args) == 1 and not node.keywords:
                self.awaits = True
                self.runs.append(name)
        self.generic_visit(node)

    def visit_Return(self, node: ast.AST) -> None:
        self.in_function = True

    visit_Yield = visit_YieldFrom = visit_Return

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.names.add(node.name)
        for outside in [*node.decorator_list, node.args]:
            self.visit(outside)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.names.add(node.name)
        for outside in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(outside)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load) and not self._comprehensions:
            self.names.add(node.id)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.names.add(node.target.id)
        self.visit(node.value)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.names.add(node.name)
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.declared |= set(node.names)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self.names.add(alias.asname or alias.name.partition(".")[0])

    visit_ImportFrom = visit_Import

    def _visit_comprehension(self, node: ast.AST) -> None:
        self._comprehensions += 1
        self.generic_visit(node)
        self._comprehensions -= 1

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension


def _look(tree: ast.Module) -> _TopLevel:
    found = _TopLevel()
    found.visit(tree)
    return found


def _awaits(tree: ast.Module) -> bool:
    found = _look(tree)
    return found.awaits and not found.in_function


def _wrapped(source: str, tree: ast.Module, show: bool) -> str:
    """Return the source of the function; `tree` is that of `source`."""
    found = _look(tree)
    names = sorted(found.names - found.declared - {"*"})
    lines = io.StringIO(source).readlines()
    last = tree.body[-1]
    edits = [(*_begin(name), *_end(name), "await ") for name in found.runs]
    if show and isinstance(last, ast.Expr):
        edits.append((*_end(last.value), *_end(last.value), "))"))
        edits.append((*_begin(last.value), *_begin(last.value), "__repl_print__(("))
    for edit in sorted(edits, reverse=True):
        _replace(lines, *edit)
    for number in _logical_lines(source):
        lines[number - 1] = " " + lines[number - 1]
    return (
        f"async def {_FUNCTION}():\n "
        + (f"global {', '.join(names)}" if names else "pass")
        + "\n"
        + "".join(lines)
    )


def _begin(node: ast.expr) -> tuple[int, int]:
    """Return the line and column at which an expression begins; columns count bytes of UTF-8."""
    return node.lineno, node.col_offset


def _end(node: ast.expr) -> tuple[int, int]:
    """Return the same of its end."""
    assert node.end_lineno is not None and node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset


def _replace(lines: list[str], number: int, column: int, _: int, end: int, text: str) -> None:
    """Put `text` in place of what stands from `column` to `end` of one line."""
    line = lines[number - 1].encode()
    lines[number - 1] = (line[:column] + text.encode() + line[end:]).decode()


def _logical_lines(source: str) -> list[int]:
    """Return the numbers of the lines with which a logical line begins."""
    numbers = []
    begins = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT):
            continue
        if begins and token.type != tokenize.ENDMARKER:
            numbers.append(token.start[0])
        begins = token.type == tokenize.NEWLINE
    return numbers
