"""Tests Ctrl-C from afar on a real board, whatever the code does, and what happens without it."""

import signal
import threading

import pytest
from waiting import wait_until

from mqhost.errors import BoardError
from mqhost.repl import cancel, start, under_way

# Each begins with printing "on": from then on it is interrupted.
BLOCKING = {
    "loop": "while True: pass",
    "sleep": "import time\ntime.sleep(60)",
    "print": "while True: print('x' * 50)",
    "deep": "def f(n):\n    if n: return f(n - 1)\n    while True: pass\nf(30)",
    "await": "import asyncio\nawait asyncio.sleep(1000)",
    "busy": "import asyncio\nwhile True: await asyncio.sleep(0)",
    "prints and awaits": "import asyncio\nwhile True:\n    print('x')\n    await asyncio.sleep(0)",
    "task": "import asyncio\nasync def f():\n    while True: pass\nawait asyncio.gather(f())",
}


@pytest.fixture(scope="module")
def session(shared_board):
    with shared_board.session() as made:
        yield made


@pytest.mark.parametrize("name", BLOCKING)
def test_code_is_interrupted_wherever_it_is(session, shared_board, name):
    run = start(session, "print('on')\n" + BLOCKING[name])
    asked = False
    for part in run:
        asked = asked or part.startswith(b"on") and not run.interrupt()
    assert run.result.cancelled
    last = run.result.error.splitlines()[-1]
    assert last.startswith(("KeyboardInterrupt", "CancelledError"))
    assert "mqboard/" not in run.result.error
    assert len(shared_board.device.boots) == 1
    assert shared_board.eval("45+876") == "921"


def test_code_may_catch_it_and_is_interrupted_once_by_each(session):
    code = """import time
print("on")
for number in range(3):
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("no", number)
print("done")"""
    run = start(session, code)
    said = b""
    for part in run:
        said += part
        if part.startswith((b"on", b"no")) and b"no 2" not in said:
            run.interrupt()
    assert said == b"on\nno 0\nno 1\nno 2\ndone\n"
    assert run.result.cancelled and run.result.error is None


@pytest.mark.parametrize("everything", [True, False])
def test_cancel_ends_code_that_keeps_the_board_from_telling_what_runs(
    session, shared_board, everything
):
    run = start(session, "print('on')\nwhile True: pass")
    parts = iter(run)
    assert next(parts) == b"on\n"
    answers = []
    word = "--all" if everything else run.ident
    asking = threading.Thread(target=lambda: answers.append(shared_board.mqboard("cancel", word)))
    asking.start()
    assert not list(parts)
    asking.join()
    assert run.result.cancelled
    assert answers[0][0] == 0, answers
    assert len(shared_board.device.boots) == 1


def test_what_ends_code_that_blocks_is_said_while_it_does(session, shared_board):
    run = start(session, "print('on')\nwhile True: pass")
    parts = iter(run)
    assert next(parts) == b"on\n"
    try:
        code, out, err = shared_board.mqboard("--timeout", "1", "cancel", "--list")
    finally:
        run.interrupt()
        assert not list(parts)
    assert (code, out) == (4, "")
    assert "does not say what runs: as a rule code that blocks keeps it from that. mqboard" in err
    assert "cancel --all ends that, too." in err


def test_an_eval_of_older_clients_can_be_cancelled_too(session, shared_board):
    with session.open("eval") as exchange:
        exchange.send(b"print('x' * 1400)\nwhile True: pass")
        assert exchange.receive(20).data.startswith(b"x")
        with shared_board.session() as other:
            asking = threading.Thread(target=cancel, args=[other, exchange.ident])
            asking.start()
            with pytest.raises(BoardError, match="KeyboardInterrupt"):
                while exchange.receive(20):  # what is left of its output
                    pass
            asking.join()
    assert shared_board.eval("45+876") == "921"


def test_what_nobody_waits_for_any_more_is_ended(shared_board, session):
    with shared_board.session() as gone:
        run = iter(start(gone, "import asyncio\nprint('on')\nawait asyncio.sleep(1000)"))
        assert next(run) == b"on\n"
        run.close()
    wait_until(lambda: not under_way(session))


def test_a_small_keepalive_outlives_code_that_blocks(make_board):
    board = make_board()
    board.wait_settled()
    assert board.mqboard("config", "set", "broker.keepalive=2")[0] == 0
    with board.session() as session:
        code = (
            "import time\nprint(board.client.connects)\ntime.sleep(7)\nprint(board.client.connects)"
        )
        assert b"".join(start(session, code)) == b"1\n1\n"
        assert session.request("eval", b"board.client.connects").data == b"1"


def test_code_that_blocks_too_long_resets_the_board_and_the_tool_says_so(make_board):
    board = make_board(watchdog={"timeout_s": 3})
    board.wait_online()
    code, out, err = board.mqboard("eval", "print('on')\nwhile True: pass")
    assert (code, out) == (1, "on\n")
    assert "has restarted while it ran this, because of it" in err and "watchdog" in err
    with board.session() as session:
        record = session.request_json("crash", b"show")
    assert record["kind"] == "watchdog" and record["running"].startswith("exec ")


def test_a_tag_is_wanted_for_it_where_commands_need_one(make_board):
    key = "a key of sixteen characters and more"
    board = make_board(auth={"key": key})
    board.wait_online()
    with board.session(auth_keys=(key,)) as session, board.session() as stranger:
        run = start(session, "print('on')\nwhile True: pass")
        for part in run:
            assert part == b"on\n"
            # Without a tag, and with the right id: nothing.
            topic = f"{board.prefix}/mqb/cmd/cancel/strange1/{run.ident}"
            stranger.connection.publish(topic, b"\x80\x00").wait_for_publish(10)
            with pytest.raises(TimeoutError):
                _wait_ended(run)
            run.interrupt()
        assert run.result.cancelled


def _wait_ended(run):
    """Raise TimeoutError when the code has not ended within a second."""
    if run._exchange.receive(1.0) is None:
        raise TimeoutError


def test_ctrl_c_at_the_tool_ends_it_on_the_board(shared_board, session):
    process = shared_board.command("exec", "print('on')\nwhile True: pass")
    try:
        assert process.stdout.readline() == "on\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "KeyboardInterrupt" in err and "mqhost" not in err
    assert not under_way(session)


def test_a_second_ctrl_c_ends_the_tool_at_once(shared_board, session):
    stubborn = """import time
print("on")
while True:
    try:
        time.sleep(0.01)
    except KeyboardInterrupt:
        print("no")
        break
time.sleep(2)"""
    process = shared_board.command("exec", stubborn)
    try:
        assert process.stdout.readline() == "on\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "no\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
