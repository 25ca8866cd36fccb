"""Tests boards that take commands only with a tag of their key, against what an attacker can do who
hears and publishes everything: the right key works, and nothing else does.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hostclient import HostClient
from waiting import wait_until

import mqwire
from mqhost.errors import RefusedError
from mqhost.manage import configuration
from mqhost.manage.configchange import body_of
from mqhost.remote.board_files import BoardFiles
from mqhost.repl.running import start as run_code
from mqwire import auth

KEY, OTHER_KEY = "the key of the tests, no other", "another key of the same tests"
UPDATE = {"health_s": 0.5, "confirm_s": 5}


@pytest.fixture(scope="module")
def board(make_shared_board):
    made = make_shared_board(auth={"key": KEY}, update=UPDATE)
    made.wait_online()
    return made


@pytest.fixture
def session(board):
    with board.session(auth_keys=(KEY,)) as opened:
        yield opened


@pytest.fixture
def wire(board):
    """Hear all that goes to and from the board."""
    with HostClient(board.broker.port, f"{board.prefix}/#") as client:
        yield client


def mqboard(board, folder, *arguments, key=KEY, **environment):
    """Run the command line with `key` in mqboard.toml, where there is one."""
    file = folder / "mqboard.toml"
    file.write_text(f'auth_key = "{key}"\n' if key else "")
    file.chmod(0o600)
    inherited = {name: value for name, value in os.environ.items() if "MQBOARD" not in name}
    done = subprocess.run(
        [
            Path(sys.executable).parent / "mqboard",
            "--prefix",
            board.prefix,
            "--port",
            str(board.broker.port),
            *arguments,
        ],
        cwd=folder,
        env=inherited | {"COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def recorded(wire, ident_or_command):
    """Return the first message to the board with that in its topic, as (topic, payload)."""
    found = wait_until(
        lambda: [m for m in wire.messages if "/mqb/cmd/" in m[0] and ident_or_command in m[0]]
    )
    return found[0][:2]


def refusal(wire, topic, since=0):
    """Return what the board answers to the command with that topic, without the nonce."""
    ident = topic.split("/cmd/")[1].split("/")[1]
    err = "/reply/err/" + ident
    text = wait_until(lambda: [m[1] for m in wire.messages[since:] if m[0].endswith(err)])[0]
    return text.decode()[: len(auth.NO_TAG)]


def wait_logged(wire, line):
    """Wait until the board has logged that."""
    found = f"auth: {line}".encode()
    wait_until(lambda: [m for m in wire.messages if m[0].endswith("/log") and found in m[1]])


def count(session):
    return int(session.request("eval", b"globals().get('count', 0)").data)


COUNT = b"count = globals().get('count', 0) + 1"


def test_the_command_line_works_with_the_key_and_says_what_is_missing_without(board, tmp_path):
    assert mqboard(board, tmp_path, "eval", "45+876") == (0, "921\n", "")
    code, out, err = mqboard(board, tmp_path, "eval", "1", key="")
    assert (code, out) == (5, "")
    assert "set MQBOARD_AUTH_KEY, or auth_key in mqboard.toml" in err
    code, out, err = mqboard(board, tmp_path, "eval", "1", key=OTHER_KEY)
    assert (code, out) == (5, "") and "the one here is another" in err
    assert mqboard(board, tmp_path, "eval", "2", key="", MQBOARD_AUTH_KEY=KEY)[:2] == (0, "2\n")


def test_no_tag_or_a_wrong_one_is_refused_and_logged(board, session, wire):
    before = count(session)
    topic = mqwire.command_topic(board.prefix, "eval", "no-tag--")
    wire.send(topic, mqwire.header(0, True) + COUNT)
    assert refusal(wire, topic) == auth.NO_TAG
    forged = mqwire.command_topic(board.prefix, "eval", "forged--")
    wire.send(forged, mqwire.header(0, True) + COUNT + os.urandom(auth.TRAILER_SIZE))
    assert refusal(wire, forged) == auth.NO_TAG
    wait_logged(wire, f"eval/forged-- {auth.NO_TAG}")
    assert count(session) == before


def test_a_recorded_command_is_good_for_nothing(board, session, wire):
    before = count(session)
    with session.open("eval") as exchange:
        exchange.send(COUNT)
        assert b"".join(exchange.parts(10)) == b""
    topic, payload = recorded(wire, exchange.ident)
    for _ in range(9):  # until its id is forgotten
        assert count(session) == before + 1
    wire.send(topic, payload)
    wait_logged(wire, f"{topic.split('/cmd/')[1]} refused: it was sent before")
    # With another id, as another command, with another payload, and for another board.
    swapped = mqwire.command_topic(board.prefix, "eval", "swapped-")
    wire.send(swapped, payload)
    assert refusal(wire, swapped) == auth.NO_TAG
    with session.open("log") as exchange:
        exchange.send(b"")
        assert b"".join(exchange.parts(10))
    other, log = recorded(wire, exchange.ident)
    trailer = log[-auth.TRAILER_SIZE :]
    grafted = mqwire.command_topic(board.prefix, "log", "grafted-")
    wire.send(grafted, mqwire.header(0, True) + COUNT + trailer)
    assert refusal(wire, grafted) == auth.NO_TAG
    assert count(session) == before + 1


def test_a_command_for_another_board_with_the_same_key_is_not_taken(board, session, make_board):
    twin = make_board(auth={"key": KEY})
    twin.wait_online()
    with HostClient(board.broker.port, "e2e/#") as wire, twin.session(auth_keys=(KEY,)) as there:
        before = count(session)
        with there.open("eval") as exchange:
            exchange.send(COUNT)
            assert b"".join(exchange.parts(10)) == b""
        topic, payload = recorded(wire, exchange.ident)
        here = topic.replace(twin.prefix, board.prefix)
        wire.send(here, payload)
        assert refusal(wire, here) == auth.NO_TAG
        assert count(session) == before


def test_what_was_recorded_in_one_boot_is_worth_nothing_in_the_next(board, wire):
    with board.session(auth_keys=(KEY,)) as session:
        boot = session.request_json("info")["boot_id"]
        with session.open("eval") as exchange:
            exchange.send(COUNT)
            assert b"".join(exchange.parts(10)) == b""
        topic, payload = recorded(wire, exchange.ident)
        for mode in ("safe", "normal"):
            assert session.request("reset", mode.encode()).data == b"OK"
            status = board.wait_status(session, lambda status, old=boot: status["boot_id"] != old)
            assert status["mode"] == mode
            boot = status["boot_id"]
            before = len(wire.messages)
            wire.send(topic, payload)
            assert refusal(wire, topic, before) == auth.NO_TAG
            assert count(session) == 0  # and this session goes on with the new boot's nonce


def test_many_operators_work_at_once_and_nobody_is_shut_out_by_the_others(board, session, wire):
    nonce = session.status()["auth"]["nonce"]
    failed = []

    def operate(number):
        try:
            with board.session(auth_keys=(KEY,)) as mine:
                for index in range(3):
                    assert mine.request("eval", b"%d*%d" % (number, index)).data == (
                        b"%d" % (number * index)
                    )
        except Exception as error:
            failed.append(error)

    for start in range(0, 36, 6):  # more than the board remembers with one nonce
        threads = [threading.Thread(target=operate, args=(start + one,)) for one in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed
    board.wait_status(session, lambda status: status["auth"]["nonce"] != nonce)
    assert session.request("eval", b"1+1").data == b"2"
    topic, payload = next(m[:2] for m in wire.messages if "/mqb/cmd/eval/" in m[0])
    wire.send(topic, payload)
    wait_logged(wire, f"{topic.split('/cmd/')[1]} refused: it was sent before")


def test_a_flood_of_forged_commands_locks_no_operator_out(board, session, wire):
    stop = threading.Event()

    def flood():
        number = 0
        while not stop.is_set():
            number += 1
            topic = mqwire.command_topic(board.prefix, "ping", f"{number:08}")
            wire.send(topic, mqwire.header(0, True) + bytes(40)).wait_for_publish(10)

    attacker = threading.Thread(target=flood)
    attacker.start()
    try:
        for number in range(40):
            assert session.request("eval", b"%d" % number).data == b"%d" % number
            assert session.request_json("info")["state"] == "online"
        with board.session(auth_keys=(KEY,)) as another:
            assert another.request("eval", b"7").data == b"7"
    finally:
        stop.set()
        attacker.join()
    told = [m for m in wire.messages if m[0].endswith("/log") and b"auth: ping" in m[1]]
    sent = [m for m in wire.messages if "/mqb/cmd/ping/" in m[0]]
    assert len(sent) > len(told) + 8


def test_code_that_streams_and_files_in_many_messages_have_tags_too(board, session, wire):
    data = os.urandom(200_000)
    files = BoardFiles(session)
    files.write("/tagged.bin", data)
    assert files.read("/tagged.bin") == data
    files.rm(["/tagged.bin"])
    run = run_code(session, "for number in range(30000): print(number)")
    assert b"".join(run).split() == [b"%d" % number for number in range(30000)]
    endless = run_code(session, "while True: print('on and on')")
    for _ in endless:
        endless.interrupt()
    assert endless.result.cancelled
    # And nobody without the key ends it.
    waiting = run_code(
        session, "import asyncio; print('begun'); await asyncio.sleep(1); print('done')"
    )
    output = iter(waiting)
    assert next(output) == b"begun\n"
    topic = mqwire.command_topic(board.prefix, "cancel", "00000000", waiting.ident)
    wire.publish(topic, mqwire.header(0, True))
    assert b"".join(output) == b"done\n"


def test_the_board_reaches_itself_takes_updates_and_confirms_them(make_board, variant, tmp_path):
    board = make_board(auth={"key": KEY}, update={"health_s": 0.5})
    board.wait_online()
    image = variant("auth.2")
    code, out, err = mqboard(board, tmp_path, "ota", "--image", str(image.app))
    assert code == 0, out + err
    assert board.wait_confirmed()["version"] == "auth.2"


def test_a_new_key_is_kept_once_it_was_used_and_left_when_nobody_has_it(board, tmp_path):
    change = ("config", "set", "auth.key")
    code, out, err = mqboard(board, tmp_path, *change, MQBOARD_SECRET=OTHER_KEY)
    assert code == 2 and OTHER_KEY not in out + err
    assert "Nothing was sent: set it as auth_key in mqboard.toml first" in err
    both = {"MQBOARD_SECRET": OTHER_KEY, "MQBOARD_AUTH_KEY": OTHER_KEY}  # and the old one's file
    code, out, err = mqboard(board, tmp_path, *change, **both)
    assert code == 0 and KEY not in out + err and OTHER_KEY not in out + err, err
    with board.session(auth_keys=(KEY,)) as session, pytest.raises(RefusedError):
        session.request("eval", b"1")
    assert mqboard(board, tmp_path, "eval", "3", key=OTHER_KEY)[1] == "3\n"

    # As when it is pushed by somebody who mistyped it.
    with board.session(auth_keys=(OTHER_KEY,)) as session:
        now = configuration.fetch(session)
        boot = session.status()["boot_id"]
        with session.open("config", f"push/{now.boot_id}") as exchange:
            exchange.send(body_of(now.record | {"auth": {"key": OTHER_KEY + "x"}}))
            assert json.loads(b"".join(exchange.parts(10)))["window_s"] == 5
        status = board.wait_status(
            session,
            lambda status: (
                status["boot_id"] != boot and (status.get("config") or {}).get("state") == "failed"
            ),
            timeout=60,
        )
        assert "no command came with its new auth.key" in status["config"]["reason"]
        assert session.request("eval", b"4").data == b"4"

    code, _, err = mqboard(board, tmp_path, "config", "unset", "auth", key=OTHER_KEY)
    assert code == 0, err
    assert board.eval("5") == "5"
