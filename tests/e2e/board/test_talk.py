"""Tests talking to a real board: the command line, a real broker, real MicroPython."""

import json
import queue
import re
import signal

import paho.mqtt.client as paho
import pytest
from waiting import wait_until

import mqwire
from mqhost.link.connection import Subscription
from mqhost.sim.chip import ResetCause


def test_eval_prints_the_value(shared_board):
    assert shared_board.mqboard("eval", "45+876") == (0, "921\n", "")


def test_eval_prints_what_the_board_printed(shared_board):
    code, out, _ = shared_board.mqboard("eval", "import sys; print(sys.implementation)")
    assert code == 0
    assert out.startswith("(name='micropython', version=(1, ")
    assert out.count("\n") == 1


def test_a_traceback_goes_to_stderr_with_exit_code_1(shared_board):
    code, out, err = shared_board.mqboard("eval", "print('before'); 1/0")
    assert (code, out) == (1, "before\n")
    assert "Traceback" in err and "ZeroDivisionError" in err


def test_output_larger_than_a_message_and_than_memory(shared_board):
    code, out, _ = shared_board.mqboard("eval", "for i in range(4000): print('%099d' % i)")
    assert code == 0
    assert out == "".join(f"{number:099d}\n" for number in range(4000))


def test_a_large_command_travels_in_parts(shared_board):
    text = "#" * 9000 + "\nprint('end')"
    with shared_board.session() as session:
        assert session.request("eval", text.encode()).data == b"end\n"


def test_memory_errors_are_answered_and_survived(shared_board):
    code, _, err = shared_board.mqboard("eval", "bytearray(10_000_000)")
    assert code == 1 and "MemoryError" in err
    greedy = "def eat():\n l = []\n while True: l.append(bytearray(100))\neat()"
    code, _, err = shared_board.mqboard("eval", greedy)
    assert code == 1 and "MemoryError" in err
    assert shared_board.eval("1+1") == "2"


def test_info_names_what_runs(shared_board, firmware):
    code, out, _ = shared_board.mqboard("info", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["board"] == "sim"
    assert facts["version"] == firmware.version
    assert firmware.micropython.startswith(facts["micropython"] + " (")
    assert facts["image"] == firmware.sha256
    assert (facts["slot"], facts["slot_state"]) == ("ota_0", "valid")
    assert (facts["mode"], facts["reset_cause"]) == ("normal", "power-on")
    assert 0 < facts["heap_free"] < 192 * 1024
    assert facts["uptime_s"] >= 0
    assert facts["refused"] == 0
    code, out, _ = shared_board.mqboard("info")
    for word in ("sim", firmware.version, firmware.sha256, "ota_0", "normal", "power-on"):
        assert word in out


CHAT = b"""
import asyncio
async def chat():
    while True:
        board.log.info("hello %d", 42)
        await asyncio.sleep(0.05)
chatter = asyncio.create_task(chat())
"""


def test_log_follows_what_the_board_prints(board):
    with board.session() as session:
        session.request("eval", CHAT)
    code, out, _ = board.mqboard("log", "--lines", "12")
    assert code == 0
    assert re.search(r"I \d+\.\d{3} board: hello 42\n", out)


def told(line):
    """Return a line of the log without its level and time."""
    return re.sub(r"^[DIWE] \d+\.\d{3} ", "", line)


def test_an_evals_answer_is_what_it_printed_and_the_log_has_the_rest(shared_board):
    code = b"""import _thread, time
done = []
def other():
    print("of a thread")
    done.append(1)
_thread.start_new_thread(other, ())
print("before")
while not done: time.sleep(0.01)
board.log.warning("logged")
print("after")"""
    lines = []
    with shared_board.session() as session:
        topic = mqwire.log_topic(shared_board.prefix)
        route = {topic: lambda payload, _: lines.append(payload.decode())}
        session.connection.subscribe(Subscription(route))
        assert session.request("eval", code).data == b"before\nafter\n"
        wanted = {"of a thread", "board: logged"}
        wait_until(lambda: wanted <= {told(line) for line in lines}, 20, lambda: str(lines))
        session.request("eval", b"board.log.info('that is all')")
        wait_until(lambda: told(lines[-1]) == "board: that is all")
    assert not {"before", "after"} & {told(line) for line in lines}


FULL = b"""if True:
    l = []
    def fill(size):
        try:
            while True: l.append(bytearray(size))
        except MemoryError: pass
    for size in (4096, 64, 16, 1): fill(size)
    try:
        board.log.info("%s and %d", "x" * 50, 5)
        board.log.exception(ValueError(1), "it failed")
        fine = True
    except BaseException as error:
        fine = error
    l.clear()
"""


def test_a_log_call_with_a_full_heap_raises_nothing(shared_board):
    with shared_board.session() as session:
        session.request("eval", FULL)
    assert shared_board.eval("fine") == "True"


def test_a_loggers_level_is_changed_from_afar_until_the_next_boot(board):
    code, out, _ = board.mqboard("log", "--level", "board=debug")
    assert code == 0 and re.search(r"board +debug +its own", out)
    board.eval("board.log.debug('small %d', 1)")
    board.device.wait_console(" board: small 1")
    board.device.press_reset()
    board.device.wait_boots(2)
    with board.session() as session:
        board.wait_status(session, lambda status: True)
        assert session.request_json("log")["levels"]["board"] is None


def test_log_stops_at_ctrl_c_without_a_traceback(board):
    with board.session() as session:
        session.request("eval", CHAT)
    process = board.command("log")
    try:
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_silent_board_is_reported_after_the_timeout(board):
    board.prefix = "no/such/board"
    code, _, err = board.mqboard("--timeout", "1", "eval", "1")
    assert code == 4
    assert "prefix" in err


def test_a_stopped_board_is_reported_offline(board):
    board.device.power_off()
    with board.session() as session:
        assert session.wait_status(lambda status: status["state"] == "offline", 20)
    code, _, err = board.mqboard("--timeout", "1", "eval", "1")
    assert code == 4
    assert "offline" in err


@pytest.fixture
def first_tool(board):
    """first_tool(ident, text) sends an eval as the first MQBoard's tool does, byte by byte: QoS 1,
    and a trailing slash in the topic. first_tool.get() is the next reply."""
    replies = queue.Queue()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_message = lambda client, data, message: replies.put(message)
    client.connect(board.broker.host, board.broker.port)
    client.loop_start()

    def send(ident, text):
        client.subscribe(f"{board.prefix}/mqb/reply/+/{ident}/#", 1)
        topic = f"{board.prefix}/mqb/cmd/eval/{ident}/"
        client.publish(topic, b"\x80\x00" + text, 1).wait_for_publish(10)

    send.get = lambda: replies.get(timeout=20)
    yield send
    client.disconnect()
    client.loop_stop()


def test_the_first_mqboards_tool_can_talk_to_it(first_tool, board):
    for number, (text, answer) in enumerate(
        (
            (b"45+876", b"921"),
            (b"import uos; uos.mkdir('/kept')", b""),
            (b"import uos\nfor f in uos.ilistdir('/'): print(f[0])", b"config.json\nkept\n"),
            (b"import uos; uos.rmdir('/kept')", b""),
        )
    ):
        ident = f"ab12CD_{number}"
        first_tool(ident, text)
        reply = first_tool.get()
        assert reply.topic == f"{board.prefix}/mqb/reply/out/{ident}"
        assert mqwire.parse_header(reply.payload) == (0, True)
        assert reply.payload[2:] == answer


def test_the_first_mqboards_tool_can_reset_it_once(first_tool, board):
    first_tool("ab12CD_-", b"machine.reset()")
    assert board.device.wait_boots(2, 20).reset_cause is ResetCause.HARD
    with board.session() as session:
        board.wait_status(session, lambda status: status["reset_cause"] == "reset")
    first_tool("ab12CD_0", b"'not sent again'")
    assert first_tool.get().payload[2:] == b"'not sent again'"
    assert len(board.device.boots) == 2


def test_a_retained_command_is_not_executed_at_boot(board):
    with board.session() as session:
        topic = mqwire.command_topic(board.prefix, "eval", "retained")
        payload = mqwire.header(0, True) + b"open('/executed', 'w').close()"
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        board.device.power_off()
        client.connect(board.broker.host, board.broker.port)
        client.loop_start()
        client.publish(topic, payload, 1, retain=True).wait_for_publish(10)
        board.device.power_on()
        board.device.wait_console("refused the retained command", 30)
        board.wait_status(session, lambda status: True)
        assert (
            "executed"
            not in session.request("eval", b"import os; print(os.listdir('/'))").data.decode()
        )
        client.publish(topic, b"", 1, retain=True).wait_for_publish(10)
        client.loop_stop()


def test_several_boards_side_by_side(make_board):
    boards = [make_board() for _ in range(3)]
    for number, board in enumerate(boards):
        board.wait_online()
        board.eval(f"me = {number}")
    assert [board.eval("me") for board in boards] == ["0", "1", "2"]
    assert len({board.eval("__import__('machine').unique_id()") for board in boards}) == 3


def test_nothing_on_board_comes_from_a_filesystem_copy(board):
    board.eval("import os; os.mkdir('/mqboard'); open('/mqboard/__init__.py', 'w').close()")
    for name in ("main.py", "boot.py", "mqbuild.py", "asyncio.py"):
        board.eval(f"f = open('/{name}', 'w'); f.write('raise SystemError'); f.close()")
    board.device.press_reset()
    board.device.wait_boots(2)
    with board.session() as session:
        board.wait_status(session, lambda status: True)
        assert session.request("eval", b"1+1").data == b"2"
