"""Tests code on a real board: output, values, tracebacks, `await`, two operators, the commands."""

import threading
import time

import pytest

from ci.proxies.faultproxy import FaultProxy
from mqhost.errors import BoardError
from mqhost.link.session import Session
from mqhost.repl import complete, start, under_way


@pytest.fixture(scope="module")
def session(shared_board):
    with shared_board.session() as made:
        yield made


def outcome(session, code, **options):
    """Run code to its end; return what it put out, and its Result."""
    run = start(session, code, **options)
    output = b"".join(run).decode()
    return output, run.result


def traceback_of(session, code, **options):
    _, result = outcome(session, code, **options)
    first, *frames, last = result.error.split("\n")
    assert first == "Traceback (most recent call last):"
    return frames, last


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("45+876", "921\n"),
        ("import gc; type(gc.mem_free())", "<class 'int'>\n"),
        ("x = 5\nx + 1\n\n# that was it\n", "6\n"),
        ("print('a', end='')\nNone", "a"),
        ("if True:\n    3\n", ""),
        ("x = '''\n1\n'''\nx", "'\\n1\\n'\n"),
        ("(1,\n 2,\n)", "(1, 2)\n"),
        ("x = 1 + \\\n2", ""),
        ("def f(): return 7\nf()", "7\n"),
        ("@staticmethod\ndef f(): pass", ""),
    ],
)
def test_the_value_of_a_last_expression_is_shown(session, code, output):
    assert outcome(session, code)[0] == output
    if output != "a":
        assert outcome(session, code, show=False)[0] == ""


def test_an_eval_of_the_first_mqboards_shows_it_too(shared_board):
    assert shared_board.eval("import sys; sys.platform")[0] == "'"
    assert shared_board.eval("x = [3]\nfor y in x: y") == ""


AWAITS = '''import asyncio
kept: int = 1
await asyncio.sleep(0)
text = """a
  b
c"""
def f():
    return 1 / 0
class C:
    value = kept
    def of(self):
        return [kept + x for x in range(2)]
for i in range(2):
    await asyncio.sleep(0)
print(C().of(), text)
'''


def test_code_that_awaits_is_what_it_is_without(session):
    assert outcome(session, AWAITS)[0] == "[1, 2] a\n  b\nc\n"
    assert outcome(session, "i, C.value, kept")[0] == "(1, 1, 1)\n"
    assert outcome(session, "kept = 5\nC().of()")[0] == "[5, 6]\n"
    # Lines are right, even when the function is called much later.
    frames, last = traceback_of(session, "f()")
    assert frames == ['  File "<stdin>", line 1, in <module>', '  File "<stdin>", line 8, in f']
    assert last == "ZeroDivisionError: divide by zero"


def test_a_traceback_has_the_users_frames_and_no_others(session):
    code = (
        "import asyncio\n\nawait asyncio.sleep(0)\nasync def f():\n    raise OSError(5)\nawait f()"
    )
    frames, last = traceback_of(session, code, file="lamp.py")
    assert frames == ['  File "lamp.py", line 6, in <module>', '  File "lamp.py", line 5, in f']
    assert last == "OSError: [Errno 5] EIO"
    assert traceback_of(session, "x = = 1") == (
        ['  File "<stdin>", line 1'],
        "SyntaxError: invalid syntax",
    )
    frames, last = traceback_of(session, "def f(n):\n    return f(n + 1)\nf(0)")
    assert frames[-1] == '  File "<stdin>", line 2, in f' and last.startswith("RuntimeError")


def test_what_its_tasks_print_is_its_output(session):
    code = """import asyncio
async def say(word):
    for number in range(3):
        print(word, number)
        await asyncio.sleep(0.01)
    return word
print(await asyncio.gather(say("a"), asyncio.wait_for(say("b"), 5)))"""
    output = outcome(session, code)[0]
    assert sorted(output.splitlines()) == ["['a', 'b']"] + [
        f"{w} {n}" for w in "ab" for n in range(3)
    ]
    assert outcome(session, 'asyncio.run(say("c"))')[0].startswith("c 0\nc 1\nc 2\n")


def test_a_loop_in_the_loop_is_refused(session):
    frames, last = traceback_of(session, "def f():\n    asyncio.run(say('d'))\nf()")
    assert last == "RuntimeError: the board's event loop runs already: await it"


def test_megabytes_come_while_it_runs(session):
    run = start(session, "for i in range(20000): print('%0109d' % i)")
    arrived, size = [], 0
    for part in run:
        arrived.append(size)
        size += len(part)
    assert size == 20000 * 110 and len(arrived) > 1000
    assert (run.result.dropped, run.result.lost, run.result.error) == (0, 0, None)


def test_output_comes_before_the_end(session):
    run = start(session, "import asyncio\nprint('now')\nawait asyncio.sleep(1000)")
    for part in run:
        assert part == b"now\n"
        assert [command.ident for command in under_way(session)] == [run.ident]
        run.interrupt()
    assert run.result.cancelled


def test_code_that_blocks_is_heard_as_well(session):
    run = start(session, "import time\nprint('now')\nt = time.ticks_ms()\nwhile True: pass")
    for part in run:
        assert part == b"now\n"
        run.interrupt()
    assert run.result.cancelled


def test_two_operators_do_not_mix_nor_wait(shared_board):
    code = """import asyncio
async def count_{0}():
    for number in range(200):
        print("{0}", number)
        await asyncio.sleep(0)
await count_{0}()"""
    outputs = {}

    def operate(word):
        with shared_board.session() as session:
            outputs[word] = outcome(session, code.format(word))[0]

    with shared_board.session() as waiting:
        long = iter(start(waiting, "import asyncio\nprint('long')\nawait asyncio.sleep(99)"))
        assert next(long) == b"long\n"
        threads = [threading.Thread(target=operate, args=[word]) for word in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for word in ("a", "b"):
            assert outputs[word] == "".join(f"{word} {number}\n" for number in range(200))
        (command,) = under_way(waiting)
        assert shared_board.mqboard("cancel") == (0, "", "")
        with pytest.raises(StopIteration):
            next(long)
        assert command.text.startswith("import asyncio  print('long')")


def test_names_are_completed_on_the_board(session):
    outcome(session, "class Lamp:\n    on = 1\n    off = 2\nlamp = Lamp()")
    assert complete(session, "lamp.o").names == ["off", "on"]
    assert complete(session, "lam").names == ["lamp"]
    assert "len" in complete(session, "le").names
    assert complete(session, "nothing.at.").names == []
    assert complete(session, "f().x").names == []
    assert complete(session, "machine.").more is False


def test_the_commands(shared_board, tmp_path):
    mqboard = shared_board.mqboard
    assert mqboard("eval", "import gc; gc.mem_free() > 0") == (0, "True\n", "")
    assert mqboard("exec", "1+1; print(2)") == (0, "2\n", "")
    script = tmp_path / "lamp.py"
    script.write_text(
        "import asyncio, sys\n"
        "async def main():\n    print(sys.argv[1:])\n    sys.exit(int(sys.argv[-1]))\n"
        'if __name__ == "__main__":\n    asyncio.run(main())\n'
    )
    assert mqboard("run", str(script), "--samples", "0") == (0, "['--samples', '0']\n", "")
    code, out, err = mqboard("run", str(script), "3")
    assert (code, out) == (1, "['3']\n") and "sys.exit(3)" in err
    code, out, err = mqboard("eval", "--timeout", "0.5", "while True: pass")
    assert (code, out) == (1, "") and "within 0.5 s, and was ended" in err
    code, _, err = mqboard("cancel", "--all")
    assert (code, err) == (0, "")
    code, _, err = mqboard("cancel")
    assert code == 5 and "No code runs" in err


def test_firmware_that_knows_no_exec_is_given_an_eval(session, monkeypatch):
    # As firmware from before `exec`, to which it is a command that there is not.
    monkeypatch.setattr("mqhost.repl.running._COMMAND", "execute")
    assert outcome(session, "45+876")[0] == "921"
    output, result = outcome(session, "print(1)\n1/0")
    assert output == "1\n" and result.error.endswith("ZeroDivisionError: divide by zero")
    with pytest.raises(BoardError, match="await.*not supported.*mqboard ota"):
        outcome(session, "import asyncio\nawait asyncio.sleep(0)")


ASKED_WHILE_PRINTING = """
import micropython
import sys
console = board.console
write = console.capture

def interrupted(data):
    console.capture = write
    write(data)
    micropython.schedule(ask, None)  # by the next jump

def ask(_):
    console.interrupt()

console.capture = interrupted
try:
    sys.stdout.write('.')  # what print() does goes past the console
    while True:
        pass
except KeyboardInterrupt:
    print('caught')
"""

PRINTS = """
import _thread, builtins, sys
print('Grüße', 2, None, sep='-', end='.')
print()
print([1, 'two'])
sys.stdout.write('stdout')
print('x' * 3000)
print('elsewhere', file=sys.stdout)
kept = print
def in_a_thread():
    print('not of this code')
    done.append(1)
done = []
_thread.start_new_thread(in_a_thread, ())
while not done:
    pass
builtins.print = lambda *args: kept('own', *args)
print('print')
"""


def test_a_ctrl_c_that_comes_in_the_last_moment_of_a_print_is_not_lost(session):
    output, result = outcome(session, ASKED_WHILE_PRINTING, timeout=20)
    assert output.endswith("caught\n") and not result.error


def test_whatever_is_printed_comes_in_its_order(shared_board, session):
    output, result = outcome(session, PRINTS, timeout=20)
    assert not result.error
    lines = ["Grüße-2-None.", "[1, 'two']", "stdout" + "x" * 3000, "elsewhere", "own print"]
    assert output.splitlines() == lines
    shared_board.device.wait_console("not of this code")
    assert "Grüße" not in shared_board.device.console.text()
    # A print of one's own stays, and who has kept the one that was lent prints on.
    assert outcome(session, "print('again')")[0] == "own again\n"
    outcome(session, "import builtins\nbuiltins.print = kept")
    assert outcome(session, "print('done')")[0] == "done\n"


@pytest.mark.parametrize("seconds", [0.05, 3])
def test_a_connection_of_ours_that_breaks_loses_output_and_no_more(shared_board, seconds):
    code = f"""import asyncio
for number in range(20):
    print(number)
    await asyncio.sleep({seconds} / 20)
print("end")
kept = number"""
    with FaultProxy(shared_board.broker.port) as proxy:
        settings = shared_board.settings(port=proxy.port)
        with Session(settings) as session:
            run = start(session, code)
            output = b""
            for part in run:
                if not output:
                    proxy.refusing = True
                    proxy.cut()
                    # As long as the short one takes, and a part of the long one.
                    time.sleep(0.5)
                    proxy.refusing = False
                output += part
            assert run.result.error is None
            lost = run.result.lost
    numbers = [int(line) for line in output.split() if line != b"end"]
    assert numbers == sorted(set(numbers))
    # What did not come is known to be missing; only that of a last message is not.
    assert lost or len(numbers) == 20 or seconds < 1
    assert shared_board.eval("kept") == "19"


RAISES = """import asyncio
class Mine(BaseException): pass
async def child(what):
    raise what
async def parent(what):
    await asyncio.sleep(0.05)
    asyncio.create_task(child(what))
async def grand(what):
    await asyncio.sleep(0.05)
    raise what
"""


@pytest.mark.parametrize("what", ["SystemExit(3)", "KeyboardInterrupt()", "Mine()"])
def test_the_board_survives_whatever_its_tasks_raise(session, shared_board, what):
    born = session.request_json("info")["boot_id"]
    since = shared_board.device.console.position
    outcome(session, RAISES)
    _, result = outcome(session, f"await asyncio.gather(child({what}))")
    assert "CancelledError" in result.error or "RuntimeError" in result.error
    for left in ("parent", "grand"):  # the code has ended by then
        outcome(session, f"task = asyncio.create_task({left}({what}))")
        outcome(session, "await asyncio.sleep(0.2)")
    shared_board.eval(f"task = asyncio.create_task(parent({what}))")
    outcome(session, "await asyncio.sleep(0.2)")
    assert session.request_json("info")["boot_id"] == born
    shared_board.device.wait_console(f"{what.split('(')[0]}(", since=since)
