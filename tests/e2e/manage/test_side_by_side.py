"""Tests commands on several real boards at a time, and a real board over WebSockets."""

import json
import re
import signal

import pytest
from waiting import wait_until

from mqhost.link.session import Session
from mqhost.repl.underway import under_way
from mqhost.sim.broker import Broker, free_port


@pytest.fixture(scope="module")
def broker():
    """Run a broker of our own: what is at it is ours, and it has WebSockets."""
    port = free_port()
    with Broker(extra=[f"listener {port} 127.0.0.1", "protocol websockets"]) as running:
        running.websockets = port
        yield running


@pytest.fixture(scope="module")
def farm(make_shared_board):
    """Give two boards that are there, and the prefix of one that has lost its power."""
    boards = [make_shared_board(prefix=f"farm/{name}") for name in ("north", "south", "gone")]
    for board in boards:
        board.wait_online()
    boards[2].device.stop()
    with boards[2].session() as session:
        assert session.wait_status(lambda status: status["state"] == "offline", 20)
    return boards


def test_boards_answer_side_by_side(farm):
    code, out, err = farm[0].mqboard("--prefix", "farm/+", "eval", "45+876")
    assert (code, err) == (4, "")
    assert re.search(r"farm/north +921\s", out) and re.search(r"farm/south +921\s", out)
    assert re.search(r"farm/gone +offline \(.+\)", out)


def test_the_example_of_the_documents_works(farm, firmware):
    _, out, _ = farm[0].mqboard("--prefix", "farm/+", "eval", "board.identity.version", "--json")
    record = json.loads(out)
    assert record["farm/north"] == record["farm/south"] == {"output": f"{firmware.version!r}\n"}


def test_only_those_who_are_there_are_a_success(farm):
    (_, out, _), *_ = [farm[0].mqboard("--prefix", "farm/#", "info", "--json")]
    record = json.loads(out)
    assert record["farm/gone"]["exit_code"] == 4
    assert record["farm/north"]["id"] != record["farm/south"]["id"]


def test_their_files_are_in_one_table(farm):
    code, out, _ = farm[0].mqboard("--prefix", "farm/+", "ls", "-l")
    assert code == 4
    assert re.search(r"farm/north .*config.json", out) and re.search(
        r"farm/south .*config.jso", out
    )


def test_a_change_is_refused(farm):
    code, out, err = farm[0].mqboard("--prefix", "farm/+", "rm", ":config.json")
    assert code == 2 and "this command is for one at a time" in err
    assert "config.json" in farm[0].said("ls")


@pytest.mark.parametrize("code", ["import asyncio; await asyncio.sleep(99)", "while True: pass"])
def test_ctrl_c_ends_the_code_on_all_of_them(farm, code):
    process = farm[0].command("-v", "--prefix", "farm/+", "eval", code)
    try:
        begun = set()
        while len(begun) < 2:
            line = process.stderr.readline()
            assert line, "it has ended"
            if "boot_id" in line and "/mqb/reply/out/" in line:
                begun.add(line.split()[2])
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, "Exception" in err) == (130, False), err
    finally:
        process.kill()
    for board in farm[:2]:
        with board.session() as session:
            assert not under_way(session)


def test_what_each_has_printed_is_json_by_prefix(farm):
    out = farm[0].mqboard(
        "--prefix",
        "farm/+",
        "eval",
        "print('a')\n1/0 if 'south' in open('/config.json').read() else 7",
        "--json",
    )[1]
    record = json.loads(out)
    assert record["farm/north"] == {"output": "a\n7\n"}
    assert record["farm/south"]["exit_code"] == 1
    assert record["farm/south"]["error"].endswith("ZeroDivisionError: divide by zero")


def test_a_board_is_managed_over_websockets(farm, broker):
    board = farm[0]
    settings = board.settings(port=broker.websockets, path="/mqtt")
    with Session(settings) as session:
        code = b"for _ in range(9): print('y' * 999)"
        assert session.request("eval", code).data == (b"y" * 999 + b"\n") * 9
        broker.restart()
        wait_until(lambda: session.connection.generation > 1, 30)
        assert session.request("eval", b"45+876", timeout=30).data == b"921"
