"""Tests what somebody finds at a board's console: the prompt by Ctrl-C, the board by Ctrl-D."""

import pytest
from waiting import wait_until

import mqwire
from mqhost.errors import BoardError
from mqhost.link.connection import Subscription

PROMPT = "\n>>> "


def stop(board, times=1):
    """Type Ctrl-C, as impatiently as people and tools do; return the position of the prompt."""
    begin = board.device.console.position
    board.device.type(times * b"\x03")
    return board.device.wait_console(PROMPT, since=begin)


def start(board, boots):
    """Type Ctrl-D; return the birth message of the boot that comes of it, number `boots`."""
    with board.session() as session:
        session.status()
        board.device.type(b"\x04")
        board.device.wait_boots(boots)
        return board.wait_status(session, lambda status: status["reset_cause"] == "soft")


def heap_used(session):
    """Return the bytes in use after a collection, once the kept answers are `info`'s own."""
    for _ in range(8):
        facts = session.request_json("info")
    return facts["heap_used"]


def logged(board, word):
    """Have the board log `word`; return how many lines of the log that makes."""
    lines = []
    with board.session() as session:
        route = {mqwire.log_topic(board.prefix): lambda payload, _: lines.append(payload)}
        session.connection.subscribe(Subscription(route))
        session.request("eval", b"board.log.info('%s')" % word.encode())
        session.request("eval", b"board.log.info('that is all')")
        wait_until(lambda: any(line.endswith(b"that is all") for line in lines))
    return sum(line.endswith(word.encode()) for line in lines)


def test_ctrl_c_gives_the_prompt_and_ctrl_d_the_board_as_often_as_one_likes(make_board):
    # It never calls itself healthy: and yet to be stopped so often is no failed boot.
    board = make_board(
        watchdog={"timeout_s": 3},
        update={"health_s": 600, "confirm_s": 1200},
        log={"level": "debug"},
    )
    limit = None
    board.wait_online()
    for boots in range(2, 4):
        stop(board, times=boots - 1)
        with board.session() as session:
            status = session.wait_status(lambda status: status["state"] == "offline", 30)
            # Without the time for that it was just gone.
            assert status["reason"] in ("stopped at its console", "connection lost")[: boots - 1]
        assert start(board, boots)["mode"] == "normal"
        assert logged(board, f"round {boots}") == 1
        with board.session() as session:
            limit = limit or heap_used(session) + 1024
            # What ended is cleared away once a second.
            wait_until(lambda limit=limit: heap_used(session) < limit)
    # The watchdog has its usual patience again.
    with board.session() as session, session.open("eval") as exchange:
        exchange.send(b"while True: pass")
        board.wait_status(session, lambda status: status["reset_cause"] == "watchdog")


@pytest.mark.parametrize("then", ["pass", "print('%099d' % number); number += 1"])
def test_ctrl_c_ends_a_command_first(shared_board, then):
    text = b""
    with shared_board.session() as session, session.open("eval") as exchange:
        exchange.send(f"number = 0\nprint('-' * 3000)\nwhile True: {then}".encode())
        with pytest.raises(BoardError, match="KeyboardInterrupt"):
            for part in exchange.parts(20):
                if not text:
                    shared_board.device.type(b"\x03")
                text += part
    # What was being written when it broke in is cut short. Nothing else is, nor came twice.
    whole = [line for line in text.decode().split("\n")[1:-1] if len(line) == 99]
    assert whole == sorted(set(whole))
    assert text.count(b"\n") <= len(whole) + 2
    assert shared_board.eval("1+1") == "2"
    assert "deactivating" not in shared_board.device.console.text()


def test_the_watchdog_waits_at_the_prompt(make_board):
    board = make_board(watchdog={"timeout_s": 2})
    board.wait_online()
    end = stop(board)
    board.device.type(b"import time; time.sleep(3); print(6*7)\r\n")
    board.device.wait_console("\n42", 20, since=end)
    assert len(board.device.boots) == 1


def test_a_board_without_a_configuration_says_how_to_get_one_and_it_works(make_board):
    board = make_board(files={"/config.json": b"nonsense"})
    device = board.device
    end = device.wait_console(PROMPT)
    shown = device.console.text().replace("\r", "")
    assert "no usable configuration: /config.json: not JSON" in shown, shown
    assert "invoke provision --board sim --ssid NETWORK --server BROKER" in shown
    for line in shown.split("line by line")[1].splitlines():
        if line.startswith("    "):
            for name, value in (
                ("NETWORK", "simnet"),
                ("PASSWORD", "simpassword"),
                ('"BROKER"', f'"{board.broker.host}", "port": {board.broker.port}'),
                ("esp32/test", board.prefix),
            ):
                line = line.replace(name, value)
            device.type(line.strip().encode() + b"\r\n")
            if "reset()" not in line:
                end = device.wait_console(PROMPT, since=end)
    board.wait_online()
