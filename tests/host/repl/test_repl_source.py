"""Tests how code with an `await` of its own is made a function, and other code is left alone."""

import ast
import asyncio

import pytest

from mqhost.errors import UsageError
from mqhost.repl.source import awaits, prepare, read_file

NAME = "__await__"


def execute(source, names, show=False):
    """Do what a board does, with CPython: returns what would be shown."""
    shown = []
    names["__repl_print__"] = shown.append
    prepared = prepare(source, show)
    exec(compile(prepared.text.decode(), prepared.options["file"], "exec"), names)
    asyncio.run(names.pop(prepared.options["await"])())
    del names["__repl_print__"]
    return shown


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "async def f():\n    await g()",
        "f = lambda: (await g())",
        "class A:\n    async def f(self):\n        async with self: pass",
        "return await f()",
        "await f(\n",
        "def f():\n    asyncio.run(g())",
    ],
)
def test_code_that_awaits_nothing_itself_goes_as_it_is(source):
    prepared = prepare(source, True, "lamp.py")
    assert prepared.text == source.encode()
    assert prepared.options == {"file": "lamp.py", "show": True}
    assert not awaits(source)


def test_names_that_are_bound_are_global_however_that_is_done():
    source = """
import asyncio
import os.path as path, json.decoder
from sys import argv as words
await asyncio.sleep(0)
a, (b, *c) = 1, (2, 3)
e = 0
e += 5
for f in range(7): pass
with open(path.devnull) as g: pass
try:
    1 / 0
except ZeroDivisionError as h:
    pass
def i(x): y = x
class j: z = 1
[k := 11 for l in range(2)]
async def m(): pass
n = [o for o in range(3)]
del e
"""
    names = {}
    execute(source, names)
    names.pop("__builtins__")
    expected = {"asyncio", "path", "json", "words", *"abcfgijkmn"}
    assert set(names) == expected


def test_names_of_before_can_be_read_and_changed():
    names = {"x": 1}
    execute("import asyncio\nx = x + 1\nawait asyncio.sleep(0)\ndef f(): return x", names)
    assert names["x"] == 2 and names["f"]() == 2
    names["x"] = 5
    assert names["f"]() == 5


def test_strings_of_several_lines_stay_as_they_are():
    names = {}
    source = 'import asyncio\nawait asyncio.sleep(0)\nif True:\n    x = """a\n b\n    c\n"""\n'
    execute(source, names)
    assert names["x"] == "a\n b\n    c\n"


def test_lines_move_by_two_and_the_files_name_says_so():
    source = "import asyncio\n\n# here\nawait asyncio.sleep(\n    0,\n)\n1 / 0\n"
    with pytest.raises(ZeroDivisionError) as error:
        execute(source, {})
    frame = error.traceback[-1]
    assert str(frame.path) == "<stdin>+2" and frame.lineno + 1 == 7 + 2


@pytest.mark.parametrize(
    ("last", "shown"),
    [
        ("1, 2", [(1, 2)]),
        ("(\n    'ä' +\n    'b'\n)  # and that", ["äb"]),
        ("'ä'; await f('ö')", ["ö"]),
        ("x = 5", []),
        ("for x in range(3): x", []),
        ("asyncio.run(f(asyncio.run(f(7))))", [7]),
        ("(y := 3)", [3]),
        ("[await f(z) for z in range(2)]", [[0, 1]]),
    ],
)
def test_the_value_of_a_last_expression_is_shown(last, shown):
    source = "import asyncio\nasync def f(x): return x\nawait f(1)\n" + last
    assert execute(source, {}, True) == shown
    assert execute(source, {}, False) == []


def test_a_files_lines_may_end_as_on_windows():
    prepared = prepare("import asyncio\r\nx = '''a\r\nb'''\r\nawait asyncio.sleep(0)\r\n", False)
    assert b"\r" not in prepared.text
    ast.parse(prepared.text)


def test_a_file_that_is_no_text_is_told(tmp_path):
    path = tmp_path / "lamp.py"
    with pytest.raises(UsageError, match="cannot be read"):
        read_file(path)
    path.write_bytes(b"x = '\xff'")
    with pytest.raises(UsageError, match="no UTF-8, at byte 5"):
        read_file(path)
    path.write_bytes(b"\xef\xbb\xbfx = 1")
    assert read_file(path) == "x = 1"


def test_a_long_name_of_a_file_is_cut_in_front():
    assert prepare("1", False, "f" * 100 + "/lamp.py").options["file"].endswith("f/lamp.py")
    assert len(prepare("1", False, "f" * 100).options["file"]) == 60
