"""Tests that resets, hangs and crashes of a real board lead to the right next boot."""

import json
import re

import pytest
from waiting import wait_until

from mqhost.link.connection import Subscription


def other_boot(board, session, boot_id):
    return board.wait_status(session, lambda status: status["boot_id"] != boot_id)


def boot_by(board, code):
    """Run code that ends the boot; return the next birth message."""
    with board.session() as session:
        boot_id = session.status()["boot_id"]
        with session.open("eval") as exchange:
            exchange.send(code.encode())
            return other_boot(board, session, boot_id)


def last_crash(board):
    """Return the board's record of the last boot that ended badly."""
    with board.session() as session:
        return session.request_json("crash", b"show")


def test_a_reset_is_told_from_a_panic(board):
    birth = boot_by(board, "import machine; machine.reset()")
    assert birth["reset_cause"] == "reset" and "crashes" not in birth
    # A null pointer: as good as any panic.
    birth = boot_by(board, "import uctypes; uctypes.bytearray_at(0, 8)[0]")
    assert (birth["reset_cause"], birth["slot"], birth["crashes"]) == ("reset", "ota_0", 1)
    record = last_crash(board)
    assert record["kind"] == "reset" and "uctypes" in record["running"]


def test_a_hang_is_ended_by_the_watchdog(make_board):
    board = make_board(watchdog={"timeout_s": 3})
    board.wait_online()
    published = []
    topic = f"{board.prefix}/mqb/crash"
    with board.session() as session:
        session.connection.subscribe(
            Subscription({topic: lambda payload, _: published.append(json.loads(payload))})
        )
        birth = boot_by(board, "board.log.error('the last line')\nwhile True: pass")
        assert (birth["reset_cause"], birth["crashes"]) == ("watchdog", 1)
        assert re.search("eval .{8} board.log.error", board.eval("board.culprit"))
        wait_until(lambda: published and last_crash(board)["published"])
        assert published[0]["kind"] == "watchdog"
        assert re.match("eval .{8} board.log.error", published[0]["running"])
        assert "the last line" in published[0]["log"]
        assert "all else has waited for 1 s for: eval" in published[0]["log"]
        # The record outlives the loss of power, and is not published again.
        board.device.power_off()
        board.device.power_on()
        board.device.wait_boots(3)
        assert board.wait_status(session, lambda status: status["reset_cause"] == "power-on")
        assert board.said("crash", "show").endswith(published[0]["log"])
        assert len(published) == 1
        assert "forgotten 1 crash." in board.mqboard("crash", "clear")[1]
        board.wait_status(session, lambda status: "crashes" not in status)


def test_the_reset_command_says_goodbye(board):
    with board.session() as session:
        boot_id = session.status()["boot_id"]
        assert session.request("reset").data == b"OK"
        birth = other_boot(board, session, boot_id)
        assert birth["reset_cause"] == "reset" and "crashes" not in birth


def test_a_reset_needs_no_memory_for_its_last_words(board):
    board.eval(
        "def full(*_, **__):\n    raise MemoryError\n"
        "board.log.info = board.log.warning = board.client.publish = full"
    )
    with board.session() as session:
        boot_id = session.status()["boot_id"]
        with session.open("reset") as exchange:
            exchange.send(b"")
            assert other_boot(board, session, boot_id)["reset_cause"] == "reset"


def test_three_boots_that_crash_end_in_safe_mode_and_reset_leaves_it(make_board):
    board = make_board(modules={"crasher": {}}, update={"health_s": 600, "confirm_s": 1200})
    board.wait_online()
    board.eval(
        "f = open('/crasher.py', 'w'); f.write('''import machine\\n"
        "async def start(board, settings):\\n    machine.reset()\\n'''); f.close()"
    )
    with board.session() as session:
        with session.open("eval") as exchange:
            exchange.send(b"import machine; machine.reset()")
            safe = board.wait_status(session, lambda status: status["mode"] == "safe")
        assert safe["slot"] == "ota_0"
        session.request("eval", b"import os; os.remove('/crasher.py')")
        session.request("reset")
        board.wait_status(session, lambda status: status["mode"] == "normal")


def test_a_module_that_dies_stops_nothing(make_board):
    board = make_board(modules={"absent": {}})
    board.wait_online()
    board.device.wait_console("task module absent: there is no absent.py")
    assert board.eval("1+1") == "2"


def test_a_power_cycle_is_no_crash(board):
    for count in range(2, 7):
        board.device.power_off()
        board.device.power_on()
        board.device.wait_boots(count)
    birth = board.wait_online()
    assert (birth["mode"], birth["reset_cause"]) == ("normal", "power-on")
    assert "crashes" not in birth


def test_a_corrupt_filesystem_is_made_anew_and_the_board_comes_back(board):
    with board.session() as session:
        board.wait_settled()
        board.device.power_off()
        offset = board.table.find("vfs").offset
        with open(board.path, "r+b") as file:
            file.seek(offset)
            file.write(b"\xa5" * 0x2000)
        boots = len(board.device.boots)
        board.device.power_on()
        board.device.wait_boots(boots + 1)
        board.device.wait_console("making a new one")
        # The retained status may still be that of the boot before.
        board.wait_status(session, lambda status: "made anew" in status.get("storage", ""))
    board.wait_settled()
    config = json.loads(board.eval("print(open('/config.json').read())"))
    assert config["prefix"] == board.prefix
    assert board.eval("__import__('os').listdir('/')") == "['config.json']"
    # Said once: at the next boot all is as it was before.
    end = len(board.device.console.text())
    board.device.power_off()
    board.device.power_on()
    board.device.wait_boots(boots + 2)
    board.wait_settled()
    text = board.device.console.text()
    assert text[:end].count("/config.json was missing: written back") == 1
    assert "config.json" not in text[end:]
    with board.session() as session:
        assert "storage" not in session.status()
        assert session.request_json("info")["storage"] == "ok"


def test_a_boot_reads_little_of_its_slot_and_says_what_took_how_long(make_board):
    board = make_board(log={"level": "debug"})
    board.wait_settled()  # the first boot hashed the image
    board.device.power_off()
    board.device.power_on()
    board.device.wait_boots(2)
    board.wait_settled()
    assert 0 < int(board.eval("__import__('_bus').slot_bytes_read")) <= 65_536
    begun, ended = [
        re.findall(r"(\w+) \d+ ms", line)
        for line in board.device.console.text().splitlines()
        if " board: boot: " in line
    ][-2:]
    assert begun == ["storage", "modules", "identity", "configuration", "board"]
    assert sorted(ended) == ["broker", "healthy", "network", "reachable"]


def test_a_damaged_configuration_is_replaced_by_the_last_good_one(board):
    with board.session() as session:
        board.wait_settled()
        session.request("eval", rb"f = open('/config.json', 'wb'); f.write(b'{\xff'); f.close()")
        boot_id = session.status()["boot_id"]
        session.request("reset")
        other_boot(board, session, boot_id)
    assert json.loads(board.said("info", "--json"))["mode"] == "normal"


def test_settling_that_died_half_way_comes_to_its_end(board):
    board.wait_settled()
    board.eval(
        "import asyncio\nfrom mqboard.health.confirm import settle\n"
        "board.settled = False\ntask = asyncio.create_task(settle(board))"
    )
    board.wait_settled()


# An application that takes the heap and gives back pieces of 2.5 KB each.
PIECES = b"""
import asyncio, gc

async def start(board, settings):
    kept = [None] * 1000  # not one that grows: what it grew out of would be a large piece
    count = 0
    try:
        while True:
            kept[count] = bytearray(240)
            count += 1
    except MemoryError:
        pass
    for at in range(0, count - 20, 24):
        for number in range(at, at + 10):
            kept[number] = None
    gc.collect()
    try:
        bytearray(4000)
        print("pieces: too large")
    except MemoryError:
        print("pieces: small")
    await asyncio.sleep(1_000_000)
"""


def test_a_heap_in_small_pieces_costs_a_copy_in_nvs_and_no_more(make_board):
    board = make_board(files={"/pieces.py": PIECES}, modules={"pieces": {}})
    board.device.wait_console("pieces: small")
    board.wait_online()
    board.wait_settled()
    board.device.wait_console("the configuration cannot be kept in NVS: memory allocation failed")
    assert "died" not in board.device.console.text()


def test_a_broker_that_comes_back_finds_the_board(make_board, broker):
    board = make_board()
    board.wait_online()
    broker.restart()
    with board.session() as session:
        board.wait_status(session, lambda status: True)
    assert board.eval("1+1") == "2"
    assert len(board.device.boots) == 1


def test_wifi_that_goes_and_comes_back(board):
    board.device.wifi(False)
    with board.session() as session:
        assert session.wait_status(lambda status: status["state"] == "offline", 30)
        board.device.wifi(True)
        board.wait_status(session, lambda status: True)
    assert len(board.device.boots) == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("asyncio.CancelledError", "CancelledError"),
        ("SystemExit(3)", "sys.exit(3)"),
    ],
)
def test_a_command_that_raises_what_ends_programs_ends_only_itself(board, name, told):
    code, _, err = board.mqboard("eval", f"import asyncio\nraise {name}")
    assert code == 1 and told in err
    assert board.eval("1+1") == "2"
    assert len(board.device.boots) == 1


def test_a_command_that_takes_the_event_loop_away_is_survived(make_board):
    board = make_board(watchdog={"timeout_s": 8})
    board.wait_online()
    birth = boot_by(board, "import asyncio; asyncio.new_event_loop()")
    assert birth["slot"] == "ota_0"
    record = last_crash(board)
    if record["kind"] == "exception":
        assert record["traceback"].endswith("RuntimeError: the board's event loop has ended\n")
    else:  # in 1.28 it does not end while its main task has not: it turns, and nobody is left in it
        assert (record["kind"], birth["reset_cause"]) == ("watchdog", "watchdog")


def test_a_heap_that_stays_full_is_emptied_by_a_reset(board):
    boot_by(board, "kept = None\nwhile True: kept = (kept,)")
    assert board.eval("1+1") == "2"
    record = last_crash(board)
    assert record["kind"] == "exception"
    # As a rule there is room for it; a collection that takes a number for a pointer may leave none.
    assert record["traceback"] is None or "MemoryError" in record["traceback"]


def test_commands_with_overlong_topics_harm_nobody(board):
    with board.session() as session:
        for name in ("i" * 1100, "i" * 5000):
            for _ in range(20):
                topic = f"{board.prefix}/mqb/cmd/nope/{name}"
                session.connection.publish(topic, b"\x80\x00", 1)
        assert session.request("eval", b"1+1").data == b"2"
    assert len(board.device.boots) == 1


def test_a_board_that_stays_unreachable_resets_and_comes_back(make_board):
    board = make_board(watchdog={"timeout_s": 60, "unreachable_s": 4})
    board.wait_settled()  # one that was never reached has more time
    board.device.wifi(False)
    board.device.wait_console("resetting: unreachable for", 30)
    board.device.wait_boots(2)
    board.device.wifi(True)
    with board.session() as session:
        birth = board.wait_status(session, lambda status: status["reset_cause"] == "reset")
    assert birth["mode"] == "normal" and "crashes" not in birth


def test_the_network_is_restarted_before_the_board_is(make_board, broker):
    board = make_board(watchdog={"timeout_s": 60, "network_s": 4})
    board.wait_online()
    broker.stop()
    try:
        board.device.wait_console("restarting the network: unreachable for", 40)
    finally:
        broker.start()
    with board.session() as session:
        board.wait_status(session, lambda status: True)
    assert len(board.device.boots) == 1


def test_safe_mode_that_is_asked_for_lasts_and_runs_nothing_of_the_user(make_board):
    module = b"print('user code')\nasync def start(board, settings):\n    pass"
    board = make_board(files={"/greeter.py": module}, modules={"greeter": {}})
    board.device.wait_console("user code")
    code, out, err = board.mqboard("reset", "--safe")
    assert code == 0 and "is back in safe mode" in out, err
    end = board.device.console.position
    boot_by(board, "import machine; machine.reset()")  # by somebody who knows nothing of modes
    record = json.loads(board.mqboard("reset", "--json")[1])
    assert (record["mode"], record["reset_cause"]) == ("safe", "reset")
    code, _, err = board.mqboard("eval", "import greeter")
    assert code == 1 and "ImportError" in err  # not even by name
    assert board.eval("open('/greeter.py').read(5)") == "'print'"
    assert "user code" not in board.device.console.text(end)
    code, out, err = board.mqboard("reset", "--bootloader", "--yes")
    assert code == 5 and "refused: this chip cannot start its bootloader" in err
    assert "in normal mode" in board.mqboard("reset", "--normal")[1]
    board.device.wait_console("user code", since=end)
