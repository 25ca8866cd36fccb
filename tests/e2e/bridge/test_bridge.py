"""Tests the bridge: a target that is ordinary MicroPython with mqlink.py, at a simulated board."""

import os
import socket
import struct
import sys
import threading
from pathlib import Path

import pytest
import target as targets
from hostclient import HostClient
from terminal import Terminal
from waiting import wait_until

from mqhost.remote.board_files import BoardFiles
from mqhost.remote.faults import FileError
from mqhost.sim.wire import Wire

COUNT = 300
MQBOARD = Path(sys.executable).parent / "mqboard"
FROM_1900 = 2_208_988_800


@pytest.fixture(scope="module")
def folder(alone):
    return targets.prepare(alone)


@pytest.fixture(scope="module")
def wire():
    with Wire(seed=1) as running:
        yield running


@pytest.fixture(scope="module")
def board(make_shared_board, wire):
    """Give a board with a bridge, to all tests here."""
    bridge = {"tx": 17, "rx": 16, "baud": 460800, "silence_s": 3, "reset": 5}
    made = make_shared_board(bridge=bridge, uarts={1: wire.ends[0]})
    made.wait_online()
    return made


@pytest.fixture
def start(folder, board, wire):
    """Give start(…) -> a Target at the wire; all that were started end with the test."""
    wire.loss = wire.turn = wire.delay = 0.0
    wire.cut = False
    made = []

    def make(connected=True, **options):
        made.append(targets.Target(folder, wire.ends[1], **{"silence_ms": 3000} | options))
        made[-1].run()
        if connected:
            made[-1].wait("state", "connected")
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture
def host(board, broker):
    with HostClient(broker.port, f"{board.prefix}/target/#") as client:
        yield client


def quiet(folder):
    """Return the environment of a prompt that keeps its history in `folder`."""
    environment = {name: value for name, value in os.environ.items() if "MQBOARD" not in name}
    return environment | {"XDG_STATE_HOME": str(folder / "state"), "TERM": "xterm"}


def numbers(payloads):
    return sorted(int(payload) for payload in payloads)


def seen(target, count):
    """Wait until the target has seen so many different numbers; return all that it has seen."""
    wait_until(lambda: target.do("return len(set(seen))") >= count, 60)
    return sorted(target.do("return seen"))


def test_it_publishes_and_subscribes_with_qos_and_retain(start, host, board):
    one = start()
    topic = board.prefix + "/target"
    assert one.do("return link.prefix") == topic
    one.do('await link.subscribe("~/in/+", show)')
    assert one.do('return await link.publish("~/state", b"here", 1, True)') is True
    assert one.do('return await link.publish("~/reading", "21.5")') is True
    host.wait_payload(topic + "/state", b"here")
    host.wait_payload(topic + "/reading", b"21.5")
    host.publish(topic + "/in/lamp", b"on")
    assert one.wait("got") == ["got", topic + "/in/lamp", "on", False]
    one.do('await link.subscribe("~/state", show)')
    assert one.wait("got", topic + "/state") == ["got", topic + "/state", "here", True]
    one.do('await link.unsubscribe("~/in/+")')
    before = len(one.told)
    host.publish(topic + "/in/lamp", b"off")
    host.publish(topic + "/state", b"gone")
    one.wait("got", topic + "/state", since=before)
    assert one.all("got", topic + "/in/lamp") == [["got", topic + "/in/lamp", "on", False]]


def test_messages_come_by_an_iterator(start, host, board):
    one = start()
    number = one.start(
        'async with link.messages("~/orders") as messages:\n'
        " say('waits')\n"
        " got = []\n"
        " async for topic, payload, retained in messages:\n"
        "  got.append(str(payload, 'utf-8'))\n"
        "  if len(got) == 3: return got"
    )
    one.wait("waits")
    for order in ("one", "two", "three"):
        host.send(board.prefix + "/target/orders", order.encode())
    assert one.finish(number) == ["one", "two", "three"]


@pytest.mark.parametrize(
    "fault",
    [{}, {"loss": 0.001}, {"turn": 0.001}, {"delay": 0.05, "loss": 0.0005, "turn": 0.0005}],
    ids=["a good wire", "bytes get lost", "bytes are turned", "all of it, late"],
)
def test_nothing_at_qos_1_is_lost_or_doubled(start, host, board, wire, fault):
    one = start(clean=True)
    one.do('await link.subscribe("~/down", count)')
    for name, value in fault.items():
        setattr(wire, name, value)
    up = one.start(f'await publish_numbers("~/up", 0, {COUNT})')
    for number in range(COUNT):
        host.send(board.prefix + "/target/down", b"%d" % number)
    assert seen(one, COUNT) == list(range(COUNT))
    one.finish(up, 60)
    assert numbers(host.wait(board.prefix + "/target/up", COUNT)) == list(range(COUNT))
    if fault:
        assert wire.lost or wire.turned
        assert one.do("return link.repeated") > 0


def test_a_slow_target_loses_nothing(start, host, board):
    one = start(clean=True)
    one.do('global slow_s\nslow_s = 0.02\nawait link.subscribe("~/down", count)')
    for number in range(150):
        host.send(board.prefix + "/target/down", b"%d" % number + b" " * 400)
    assert seen(one, 150) == list(range(150))


def test_a_handler_may_publish_and_wait_for_it_however_much_comes(start, host, board):
    one = start()
    one.do(
        "async def echo(topic, payload, retained):\n"
        " await link.publish('~/echo', payload, 1)\n"
        "await link.subscribe('~/down', echo)"
    )
    for number in range(COUNT):
        host.send(board.prefix + "/target/down", b"%d" % number)
    echoed = host.wait(board.prefix + "/target/echo", COUNT)
    assert set(numbers(echoed)) == set(range(COUNT))


def test_a_target_that_dies_and_comes_back_gets_all_that_was_sent(start, host, board):
    first = start(will=["~/state", "gone", 1, False])
    first.do('global slow_s\nslow_s = 0.01\nawait link.subscribe("~/down", count)')
    for number in range(COUNT):
        host.send(board.prefix + "/target/down", b"%d" % number)
    wait_until(lambda: first.do("return len(seen)") > 20, 20)
    handled = set(first.do("return seen"))
    first.kill()
    host.wait_payload(board.prefix + "/target/state", b"gone")
    second = start(connected=False)
    second.do('await link.subscribe("~/down", count)')
    missing = set(range(COUNT)) - handled
    wait_until(lambda: missing <= set(second.do("return seen")), 60)
    assert "the target is there: mqlink" in board.device.console.text()


def test_a_board_that_dies_under_way_loses_nothing(start, host, board):
    one = start()
    one.do('await link.subscribe("~/down", count)')
    up = one.start(f'await publish_numbers("~/up", 0, {COUNT})')
    for number in range(COUNT):
        host.send(board.prefix + "/target/down", b"%d" % number)
    host.wait(board.prefix + "/target/up", 30)
    boots = len(board.device.boots)
    board.device.press_reset()
    board.device.wait_boots(boots + 1)
    one.finish(up, 60)
    assert set(numbers(host.wait(board.prefix + "/target/up", COUNT))) == set(range(COUNT))
    assert set(seen(one, COUNT)) == set(range(COUNT))
    assert one.all("state", "no link")


def test_silence_on_the_wire_publishes_the_will(start, host, board, wire):
    one = start(will=["~/state", "gone", 1, False])
    wire.cut = True
    host.wait_payload(board.prefix + "/target/state", b"gone")
    one.wait("state", "no link")
    assert one.do('return await link.publish("~/reading", b"1")') is False
    since = len(one.told)
    wire.cut = False
    one.wait("state", "connected", since=since)
    assert one.do('return await link.publish("~/reading", b"2", 1)') is True


def test_leaving_politely_publishes_no_will(start, host, board):
    one = start(will=["~/farewell", "gone", 1, False])
    one.do("await link.disconnect()")
    one.wait("state", "the target left")
    one.kill()
    text = len(board.device.console.text())
    board.device.wait_console("the target is gone", since=text)
    host.publish(board.prefix + "/target/farewell", b"none")
    assert host.wait(board.prefix + "/target/farewell") == [b"none"]


def test_the_time_is_that_of_a_server_of_ones_choice(start):
    one = start()
    told = 1_900_000_000
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer():
            question, who = server.recvfrom(64)
            head = struct.pack(">BBBB", 0x1C, 2, 0, 0) + bytes(20) + question[40:48] + bytes(8)
            server.sendto(head + struct.pack(">II", told + FROM_1900, 0), who)

        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        assert one.do(f'return await link.time("127.0.0.1:{port}")') == told
        thread.join()
    with pytest.raises(targets.standalone.Raised, match="no NTP server is configured"):
        one.do("return await link.time()")


def test_the_pin_resets_the_target(start, board):
    levels = []
    board.device.watch_pins(lambda pin, level: levels.append((pin, level)))
    board.eval("__import__('asyncio').create_task(board.bridge.reset())")
    wait_until(lambda: len(levels) >= 2, 10)
    assert levels == [(5, 0), (5, 1)]


def test_the_tool_manages_a_target_as_it_does_a_board(start, board, tmp_path):
    one = start(connected=False, heap="512k")
    one.start("await manage()")
    one.wait("state", "connected")

    def mqboard(*words):
        return board.mqboard("--prefix", board.prefix + "/target", *words)

    assert mqboard("eval", "45+876") == (0, "921\n", "")
    assert mqboard("exec", "for i in range(3): print(i)") == (0, "0\n1\n2\n", "")
    port = board.broker.port
    argv = [MQBOARD, "--prefix", f"{board.prefix}/target", "--server", board.broker.host]
    with Terminal([*argv, "--port", port, "repl"], env=quiet(tmp_path)) as prompt:
        prompt.expect("\n>>>")
        prompt.type("lamp = 6\n")
        prompt.expect("\n>>>", count=2)
        prompt.type("lamp * 7\n")
        prompt.expect("\n42\n>>>")
    code, _, err = mqboard("eval", "1/0")
    assert code == 1 and "ZeroDivisionError" in err
    (tmp_path / "small.txt").write_text("hello")
    assert mqboard("put", tmp_path / "small.txt", ":small.txt")[0] == 0
    with board.session(prefix=board.prefix + "/target") as session:
        files = BoardFiles(session)
        assert files.read("small.txt") == b"hello"
        data = bytes(range(256)) * 70
        files.write("lib/data.bin", data, parents=True)
        files.mv("lib/data.bin", "there.bin")
        assert files.read("there.bin") == data
        assert [each.path for each in files.ls("/")] == ["lib", "small.txt", "there.bin"]
        assert files.rm(["there.bin", "lib"], recursive=True) == 2
        with pytest.raises(FileError) as raised:
            files.rm(["there.bin"])
        assert raised.value.reason == "ENOENT"
        one.kill()
        assert session.wait_status(lambda status: status["state"] == "offline", 20)
    assert mqboard("--timeout", "5", "eval", "1")[0] == 4


def test_a_board_without_a_bridge_loads_nothing_of_it(shared_board):
    assert shared_board.eval("'mqlink' in __import__('sys').modules") == "False"
