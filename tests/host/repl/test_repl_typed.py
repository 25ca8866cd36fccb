"""Tests what a prompt does with what was typed: run it, or go on; and what else it makes of it."""

import pytest

from mqhost.repl.typed import (
    as_remembered,
    as_sent,
    dotted_word,
    exit_code,
    is_whole,
    module_word,
    next_indentation,
)

FUNCTION = "def f():\n    a = 1\n\n    return a"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 + 1",
        "# nothing",
        "x = 1; y = 2",
        "x = 1\ny = 2",
        "x = '''\n\n'''",
        "x = (1,\n\n2)",
        "await asyncio.sleep(1)",
        FUNCTION + "\n",
        FUNCTION + "\n    ",
        FUNCTION + "\n\nf()",
        "if x: y\n",
        "@decorated\ndef f(): pass\n",
        "async with lock:\n    await f()\n",
        "match x:\n    case 1:\n        y\n",
        "a = \\\n5",
    ],
)
def test_what_is_whole_runs(text):
    assert is_whole(text)


@pytest.mark.parametrize(
    "text",
    [
        "def f():",
        FUNCTION,
        "def f():\n    if a:\n\n",
        "if x: y",
        "x = (",
        "x = (1,\n\n",
        "x = '''",
        "x = '''\n\n",
        "a = \\",
        "@decorated",
        "@decorated\n",
        "@decorated\ndef f(): pass",
        "try:\n    a\n",
        "async with lock:\n    await f()",
        "match x:\n    case 1:\n        y",
        "class A:\n    def f(self):\n        pass\n\n    def g(self):",
    ],
)
def test_what_is_not_whole_goes_on(text):
    assert not is_whole(text)


@pytest.mark.parametrize(
    "text",
    ["print 1", "fro x in y:", "for i in range(3)", "1 +", "'abc", "x = 1)", "return 5", "a\0b"],
)
def test_what_python_does_not_understand_is_for_the_board_to_judge(text):
    assert is_whole(text)


def test_a_block_that_python_does_not_understand_is_sent_once_a_blank_line_has_ended_it():
    # MicroPython takes it; Python does from 3.12 on.
    lines = ["if f'{a['b']}':", "    print(1)", ""]
    assert not is_whole("while 1: print 'x':")
    assert not is_whole("while 1: print 'x':\n    y")
    assert is_whole("while 1: print 'x':\n    y\n")
    assert not is_whole("\n".join(lines[:2]))
    assert is_whole("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "spaces"),
    [
        ("x", 0),
        ("if x:", 4),
        ("if x:  # why: that", 4),
        ("if x:  # 'tis", 4),
        ("x = ':  # '", 0),
        ("x = 5  # no block:", 0),
        ("if x:\n    y", 4),
        ("if x:\n    for y in z:", 8),
        ("if x:\n    for y in z:\n        break", 4),
        ("def f():\n    return 1", 0),
        ("def f():\n  return 1", 0),
        ("passing = 1", 0),
        ("if x:\n    returned = 1", 4),
    ],
)
def test_the_next_line_is_indented(text, spaces):
    assert next_indentation(text) == " " * spaces


def test_only_what_was_typed_for_typing_is_left_out():
    assert as_sent(FUNCTION + "\n    \n") == FUNCTION
    assert as_sent("    a = 1\n    if a:\n        b\n") == "a = 1\nif a:\n    b"
    assert as_sent("\n\nx = '''\n  y'''\n") == "x = '''\n  y'''"
    assert as_sent("if x:\n  print 1") == "if x:\n  print 1"


def test_a_block_that_is_remembered_runs_at_once():
    assert as_remembered("1 + 1") == "1 + 1"
    assert as_remembered(FUNCTION) == FUNCTION + "\n"
    assert is_whole(as_remembered(FUNCTION))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("exit()", 0),
        ("quit()", 0),
        ("exit", 0),
        (" exit( 3 ) ", 3),
        ("sys.exit(2)", 2),
        ("exits()", None),
        ("exit(code)", None),
        ("x = exit()", None),
        ("", None),
    ],
)
def test_exit_leaves_as_in_python(text, code):
    assert exit_code(text) == code


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("boa", "boa"),
        ("from machine import P", "machine.P"),
        ("from a.b import c, (d, e", "a.b.e"),
        ("x = board.cl", "board.cl"),
        ("f(board.", "board."),
        ("a + b.c.d", "b.c.d"),
        ("größe.x", "größe.x"),
        ("", ""),
        ("x = ", ""),
        ("f().a", ""),
        ("a[0].b", ""),
        ("'text'.spl", ""),
        ("5.", ""),
        ("5.a", ""),
        ("1_000.b", ""),
    ],
)
def test_only_dotted_names_are_completed(line, word):
    assert dotted_word(line) == word


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("import ", ""),
        ("import mach", "mach"),
        ("    import a, b.c as d, asyncio.ev", "asyncio.ev"),
        ("from mach", "mach"),
        ("from machine import P", None),
        ("import a as b", None),
        ("important", None),
        ("x = 5", None),
    ],
)
def test_modules_are_completed_where_they_are_imported(line, word):
    assert module_word(line) == word
