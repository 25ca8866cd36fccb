"""Tests `mqboard repl` at a terminal, on a board: what a hand types, and what its screen shows."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import Terminal
from waiting import wait_until

MQBOARD = Path(sys.executable).parent / "mqboard"
ENTER, UP, LEFT, HOME, CTRL_C, CTRL_D, BACKSPACE = (
    "\n",
    "\x1b[A",
    "\x1b[D",
    "\x01",
    "\x03",
    "\x04",
    "\x7f",
)


@pytest.fixture
def open_prompt(tmp_path):
    """Give open_prompt(board) -> a Terminal in which `mqboard repl` has its prompt."""
    opened = []
    environment = {name: value for name, value in os.environ.items() if "MQBOARD" not in name}
    environment |= {"XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm"}

    def open_one(board, *options, program=(MQBOARD,)):
        argv = [*program, "--prefix", board.prefix, "--server", board.broker.host]
        argv += ["--port", board.broker.port, *options, "repl"]
        terminal = Terminal(argv, env=environment)
        opened.append(terminal)
        terminal.expect("\n>>>")
        return terminal

    yield open_one
    for terminal in opened:
        terminal.__exit__()


@pytest.fixture
def prompt(open_prompt, shared_board):
    return open_prompt(shared_board)


def test_a_value_is_shown_and_names_stay(prompt):
    prompt.type("lamp = 6\n")
    prompt.expect("\n>>>", count=2)
    prompt.type("lamp * 7\n")
    prompt.expect("\n42\n>>>")


def test_it_greets_with_version_board_and_prefix(prompt, shared_board):
    prompt.expect("MQBoard 0.")
    greeting = prompt.expect(f"; sim with esp32 at {shared_board.prefix}")
    assert "MicroPython 1." in greeting and "Ctrl-D leaves" in greeting
    prompt.expect("B free")


def test_a_line_is_edited(prompt):
    prompt.type("1 + 999" + 3 * LEFT + BACKSPACE + "4" + HOME + "1000 + " + ENTER)
    # Behind the 1 stands "+4999" now: the blank was removed.
    prompt.expect("\n>>> 1000 + 1 +4999\n6000\n>>>")


def test_history_lasts_and_is_for_nobody_else(prompt, open_prompt, shared_board, tmp_path):
    prompt.type("first = 1234\n")
    prompt.expect("\n>>>", count=2)
    prompt.type("wifi_key = 'hush'\n")
    prompt.expect("\n>>>", count=3)
    prompt.type("def twice(x):\n")
    prompt.expect("...")
    prompt.type("return 2 * x\n")
    prompt.expect("...", count=2)
    prompt.type(ENTER)
    prompt.expect("\n>>>", count=4)
    prompt.type(CTRL_D)
    assert prompt.ended() == 0
    (path,) = (tmp_path / "state" / "mqboard").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "hush" not in path.read_text()

    again = open_prompt(shared_board)
    again.type(UP)
    again.expect(">>> def twice(x):\n...     return 2 * x\n...")
    again.type(ENTER)  # as a whole, and at once
    again.expect("\n>>>", count=2)
    again.type(UP + UP + UP + UP)
    again.expect("\n>>> first = 1234")


def test_tab_completes_what_there_is_on_the_board(prompt):
    prompt.type("board.conf\t")
    prompt.expect("\n>>> board.config")
    prompt.type(".pref\t")
    prompt.expect("\n>>> board.config.prefix")
    prompt.type(ENTER)
    prompt.expect("\n'e2e/")
    prompt.type("later_made = 1\n")
    prompt.expect("\n>>>", count=3)
    prompt.type("later_\t")
    prompt.expect("\n>>> later_made", count=2)


def test_tab_completes_modules_where_they_are_imported(prompt):
    prompt.type("import deflat\t")
    prompt.expect("\n>>> import deflate")
    prompt.type(", asyncio.eve\t")
    prompt.expect("\n>>> import deflate, asyncio.event")
    prompt.type(CTRL_C)
    prompt.type("from machine import unique\t")
    prompt.expect("\n>>> from machine import unique_id")


def test_tab_shows_what_there_is_to_choose_from(prompt):
    prompt.type("board.co\t")
    screen = prompt.expect("console")
    assert ">>> board.con" in screen and " config" in screen
    prompt.type("\t\t")
    prompt.expect(">>> board.console")
    prompt.type(ENTER)  # takes it; it does not run
    prompt.type(".__class__\n")
    prompt.expect("<class 'Console'>")


def test_tab_at_the_beginning_of_a_line_indents_and_backspace_undoes_it(prompt):
    prompt.type("if True:\n")
    prompt.expect("...")
    prompt.type("\t" + BACKSPACE + "x = 5\n")
    prompt.expect("...     x = 5\n...")
    prompt.type(BACKSPACE + "else:\n")
    prompt.expect("... else:\n...")
    prompt.type("pass\n")
    prompt.expect("...     pass\n...")
    prompt.type(ENTER)
    prompt.expect("\n>>>", count=2)
    prompt.type("x\n")
    prompt.expect("\n5\n>>>")


def test_a_function_is_typed_line_by_line_and_a_blank_line_ends_it(prompt):
    lines = ("def area(a, b=0):", "if not b:", "b = a", BACKSPACE + "return a * b")
    for number, line in enumerate(lines):
        prompt.type(line + ENTER)
        prompt.expect("\n...", count=number + 1)
    prompt.expect("\n...     if not b:\n...         b = a\n...     return a * b\n...")
    prompt.type(ENTER)
    prompt.expect("\n>>>", count=2)
    prompt.type("area(3, 4), area(5)\n")
    prompt.expect("\n(12, 25)\n>>>")


PASTED = """def mean(numbers):
\ttotal = 0

\tfor number in numbers:
\t\ttotal += number

\treturn total / len(numbers)


print(mean([1, 2, 6]))"""


def test_what_is_pasted_is_one_piece(prompt):
    prompt.paste(PASTED)
    prompt.expect("print(mean([1, 2, 6]))")
    prompt.type(ENTER)
    prompt.expect("\n3.0\n>>>")
    assert prompt.screen.count(">>>") == 2


def test_a_part_of_a_block_runs_without_its_indentation(prompt):
    prompt.paste("    level = 7\n    level + 1")
    prompt.expect("level + 1")
    prompt.type(ENTER)
    prompt.expect("\n8\n>>>")


def test_output_is_shown_while_the_code_runs(prompt):
    prompt.type("import asyncio\n")
    prompt.expect("\n>>>", count=2)
    prompt.type("print('ear' + 'ly'); await asyncio.sleep(1000); print('late')\n")
    prompt.expect("\nearly\n")
    prompt.type(CTRL_C)
    prompt.expect("\nKeyboardInterrupt\n>>>")
    assert "\nlate" not in prompt.screen


def test_a_lot_of_output_is_shown_whole(prompt):
    prompt.type("for i in range(4000): print('<%d>' % i, 'x' * 70)\n")
    prompt.expect("...")
    prompt.type(ENTER)
    screen = prompt.expect("\n>>>", count=2, timeout=60)
    shown = [line for line in screen.split("\n") if line.startswith("<")]
    assert shown == [f"<{i}> {'x' * 70}" for i in range(4000)]


def test_output_cannot_control_the_terminal(prompt):
    prompt.type("print('\\x1b]0;owned\\x07', end='')\n")
    prompt.expect("\n�]0;owned�\n>>>")
    assert b"\x1b]0;" not in prompt.raw


def test_a_traceback_is_the_codes_own(prompt):
    prompt.type("def f(): return 1 // 0\n\n")
    prompt.expect("\n>>>", count=2)
    prompt.type("f()\n")
    prompt.expect(
        "\nTraceback (most recent call last):\n"
        '  File "<stdin>", line 1, in <module>\n'
        '  File "<stdin>", line 1, in f\n'
        "ZeroDivisionError: divide by zero\n>>>"
    )


def test_ctrl_c_interrupts_code_that_blocks(prompt):
    prompt.type("print('be' + 'gun')\nwhile True: pass\n\n")
    prompt.expect("\nbegun\n>>> while True: pass\n...")
    wait_until(lambda: running(prompt))
    prompt.type(CTRL_C)
    prompt.expect("\nKeyboardInterrupt\n>>>")
    prompt.type("6 * 7\n")
    prompt.expect("\n42\n>>>")


# Presses Ctrl-C, as a signal, when the prompt has given the terminal back and not quite ended.
HASTY = """
import os, signal, sys
from prompt_toolkit.application import Application
from mqhost.cli.main import main

def hasty(app, end=Application.cancel_and_wait_for_background_tasks):
    os.kill(os.getpid(), signal.SIGINT)
    return end(app)

Application.cancel_and_wait_for_background_tasks = hasty
sys.exit(main())
"""


def test_ctrl_c_right_behind_enter_interrupts_what_was_entered(open_prompt, shared_board):
    prompt = open_prompt(shared_board, program=(sys.executable, "-c", HASTY))
    prompt.type("while True: pass\n\n")
    prompt.expect("\nKeyboardInterrupt\n>>>")
    prompt.type("import time; time.sleep(60)\n")
    prompt.expect("\nKeyboardInterrupt\n>>>", count=2)


def test_a_signal_at_the_prompt_is_like_ctrl_c(prompt):
    prompt.type("1/0  # not meant")
    prompt.expect("not meant")
    prompt.process.send_signal(signal.SIGINT)
    prompt.expect("\nKeyboardInterrupt\n>>>")
    prompt.type("6 * 7\n")
    screen = prompt.expect("\n42\n>>>")
    assert "ZeroDivisionError" not in screen


def running(terminal):
    """Return whether the line below the prompt is gone: the code runs."""
    return not terminal.screen.rstrip().endswith("free")


def test_ctrl_c_interrupts_code_that_awaits(prompt):
    prompt.type("import asyncio\n")
    prompt.expect("\n>>>", count=2)
    prompt.type("print('be' + 'gun'); await asyncio.sleep(100)\n")
    prompt.expect("\nbegun\n")
    prompt.type(CTRL_C)
    screen = prompt.expect("\nKeyboardInterrupt\n>>>")
    assert '  File "<stdin>", line 1, in <module>\n' in screen


def test_code_that_has_caught_ctrl_c_is_interrupted_again(prompt):
    prompt.paste(
        "print('be' + 'gun')\ntry:\n    while True: pass\nexcept KeyboardInterrupt:\n"
        "    print('cau' + 'ght')\nwhile True: pass\n"
    )
    prompt.type(ENTER)
    prompt.expect("\nbegun\n")
    prompt.type(CTRL_C)
    prompt.expect("\ncaught\n")
    prompt.type(CTRL_C)
    prompt.expect("\nKeyboardInterrupt\n>>>")


def test_ctrl_c_at_the_prompt_clears_the_line(prompt):
    prompt.type("1/0  # not meant")
    prompt.expect("not meant")
    prompt.type(CTRL_C)
    prompt.expect("\nKeyboardInterrupt\n>>>")
    prompt.type("6 * 7\n")
    screen = prompt.expect("\n42\n>>>")
    assert "ZeroDivisionError" not in screen


def test_what_is_typed_ahead_waits_for_the_next_prompt(prompt):
    prompt.type("import time\n")
    prompt.expect("\n>>>", count=2)
    prompt.type("time.sleep(1); print('slept')\n")
    wait_until(lambda: running(prompt))
    prompt.type("6 * 7\n")
    prompt.paste("8 *\\\n8\n")
    prompt.type(ENTER)
    screen = prompt.expect("\n64\n>>>")
    assert "\nslept\n>>> 6 * 7\n42\n>>> 8 *\\\n... 8\n" in screen


def test_ctrl_d_leaves_and_the_terminal_is_as_before(prompt):
    assert not prompt.is_cooked()
    prompt.type(CTRL_D)
    assert prompt.ended() == 0
    assert prompt.is_cooked()


def test_alt_enter_runs_a_text_as_it_is(prompt):
    prompt.type("x = (\x1b\n")
    prompt.expect("SyntaxError")
    prompt.expect("\n>>>", count=2)


def test_exit_leaves_with_its_code(prompt):
    prompt.type("exit(3)\n")
    assert prompt.ended() == 3


def test_a_hangup_leaves(prompt):
    prompt.process.send_signal(signal.SIGHUP)
    assert prompt.ended() == 130
    assert prompt.is_cooked()


def test_two_operators_do_not_mix_their_output(open_prompt, shared_board):
    prompts = [open_prompt(shared_board), open_prompt(shared_board)]
    for letter, terminal in zip("ab", prompts, strict=True):
        terminal.type("import asyncio\n")
        terminal.expect("\n>>>", count=2)
        terminal.paste(
            f"{letter} = 0\nwhile {letter} < 3000:\n"
            f"    print('<' + '{letter}' * 9 + '>')\n    {letter} += 1\n"
            "    await asyncio.sleep(0.01)\n"
        )
        terminal.expect("sleep(0.01)")
        terminal.type(ENTER)
    for letter, terminal in zip("ab", prompts, strict=True):
        terminal.expect(f"<{letter * 9}>", count=20)
    for letter, other, terminal in zip("ab", "ba", prompts, strict=True):
        terminal.type(CTRL_C)
        screen = terminal.expect("\nKeyboardInterrupt\n>>>")
        assert other * 9 not in screen and f"{letter * 9}>\n<{letter * 9}" in screen


def test_a_program_comes_through_a_pipe(shared_board):
    def repl(program):
        process = shared_board.command("repl", stdin=subprocess.PIPE)
        out, err = process.communicate(program, timeout=60)
        return process.returncode, out, err

    program = (
        "import asyncio\n\ndef f(x):\n\n    return x\n5\nprint(f(6))\nawait asyncio.sleep(0)\n"
    )
    assert repl(program) == (0, "6\n", "")
    code, out, err = repl("print('before', end='')\n1/0\n")
    assert (code, out) == (1, "before")
    assert '  File "<stdin>", line 2, in <module>\nZeroDivisionError' in err


# Boards that go away: each of these tests has one of its own.


def test_a_board_that_restarts_is_told_of_and_the_prompt_goes_on(board, open_prompt):
    prompt = open_prompt(board)
    prompt.type("lamp = 5\n")
    prompt.expect("\n>>>", count=2)
    assert board.mqboard("reset")[0] == 0
    gone = "What was defined there is gone."
    prompt.expect(f"{board.prefix} has restarted (reset cause reset). {gone}")
    prompt.type("lamp\n")
    prompt.expect("NameError")
    prompt.type("import machine; machine.reset()\n")
    screen = prompt.expect(gone, count=2, timeout=60)
    assert f"{board.prefix} has restarted while it ran this" in screen
    prompt.type("6 * 7\n")
    prompt.expect("\n42\n>>>")


def test_a_board_without_power_is_told_of_and_back_again(board, open_prompt):
    prompt = open_prompt(board)
    board.device.power_off()
    prompt.expect(f"{board.prefix} is offline")
    prompt.type("6 * 7\n")
    prompt.expect("Nothing was sent.")
    board.device.power_on()
    prompt.expect(f"{board.prefix} has restarted (reset cause power-on)")
    prompt.type("6 * 7\n")
    prompt.expect("\n42\n>>>")


def test_a_board_that_loses_power_while_code_runs_is_told_of_at_once(board, open_prompt):
    prompt = open_prompt(board)
    prompt.type("import asyncio\n")
    prompt.expect("\n>>>", count=2)
    prompt.type("print('be' + 'gun'); await asyncio.sleep(1000)\n")
    prompt.expect("\nbegun\n")
    board.device.power_off()
    prompt.expect(f"\n{board.prefix} is offline (connection lost).\n")
    assert prompt.screen.count("\n>>>") == 2
    board.device.power_on()
    screen = prompt.expect("What was defined there is gone.\n>>>")
    assert f"{board.prefix} has restarted while it ran this (reset cause power-on)" in screen


def test_code_that_makes_the_watchdog_bite_is_told_so(make_board, open_prompt):
    board = make_board(watchdog={"timeout_s": 3})
    board.wait_online()
    prompt = open_prompt(board)
    prompt.type("while True: pass\n\n")
    screen = prompt.expect("What was defined there is gone.\n>>>", timeout=60)
    assert "because of it" in screen and "the watchdog bit" in screen


def test_a_second_ctrl_c_gives_the_prompt_back_when_the_board_does_not_answer(board, open_prompt):
    prompt = open_prompt(board)
    prompt.type("print('be' + 'gun')\nwhile True: pass\n\n")
    prompt.expect("\nbegun\n>>> while True: pass\n...")
    wait_until(lambda: running(prompt))
    os.kill(board.device.pid, signal.SIGSTOP)
    try:
        prompt.type(CTRL_C)
        prompt.expect("Ctrl-C once more gives the prompt back")
        prompt.type(CTRL_C)
        prompt.expect("It may still run on the board. mqboard cancel")
        prompt.expect("\n>>>", count=3)
    finally:
        os.kill(board.device.pid, signal.SIGCONT)


def test_safe_mode_has_a_prompt(board, open_prompt):
    assert board.mqboard("reset", "--safe")[0] == 0
    prompt = open_prompt(board)
    prompt.expect("It is in safe mode")
    prompt.type("6 * 7\n")
    prompt.expect("\n42\n>>>")


def test_a_board_that_is_not_there_has_none(board):
    board.device.power_off()
    with board.session() as session:
        session.wait_status(lambda status: status.get("state") == "offline", 20)
    terminal = Terminal([MQBOARD, "--prefix", board.prefix, "--port", board.broker.port, "repl"])
    with terminal:
        terminal.expect(f"{board.prefix} is offline")
        assert terminal.ended() == 4
