"""Tests modules on a real board: the tutorial's, ours, bad ones, and /main.py."""

import json
import os
import queue
import re
import subprocess
import sys
import time
from pathlib import Path

from waiting import wait_until

from mqhost.link.connection import Subscription
from mqhost.manage.modules import list_modules
from mqhost.paths import ROOT

TUTORIAL = (ROOT / "docs" / "modules.md").read_text()
BLINKY = re.search(r"```python\n(\"\"\"Blinks.*?)```", TUTORIAL, re.S)[1]
PUT = re.search(r"```console\n(\$ mqboard [^\n]* mkdir .*?)```", TUTORIAL, re.S)[1]
CONFIGURE = re.search(r"^\$ (mqboard .* config set .*)$", TUTORIAL, re.M)[1]
DIES = "async def start(board, settings):\n    1 / 0\n"
DIED = 'ZeroDivisionError: divide by zero, File "/lib/dies.py", line 2, in start'
HANGS = "while True:\n    pass\n"
MAIN = "seen.append(__name__)\nasync def start(board, settings):\n    board.seen = seen\n"


def topic_of(board, session, name):
    """Return a queue of the messages at a topic below the board's prefix."""
    arrived = queue.SimpleQueue()
    session.connection.subscribe(
        Subscription({f"{board.prefix}/{name}": lambda payload, _: arrived.put(payload)})
    )
    return arrived


def modules_of(board):
    with board.session() as session:
        return {module.name: module for module in list_modules(session).modules}


def test_modules_on_a_board(make_board, tmp_path):
    files = {"/lib/dies.py": DIES, "/boot.py": "seen = []\n", "/main.py": MAIN}
    files["/lib/json.py"] = files["/os.py"] = "raise ValueError('in place of ours')\n"
    files = {path: text.encode() for path, text in files.items()}
    others = {"sysinfo": {"interval_s": 1}, "dies": {}, "main": {}, "absent": {}}
    board = make_board(files=files, modules=others)
    board.wait_online()
    follow_the_tutorial(board, tmp_path)
    with board.session() as session:
        check_blinky(board, session)
        check_sysinfo(board, session)
    check_states(board)
    check_new_code(board)
    check_help(board)


def follow_the_tutorial(board, folder):
    (folder / "blinky.py").write_text(BLINKY)
    commands = re.sub(r"^\$ ", "", PUT, flags=re.M) + CONFIGURE
    names = {"MQBOARD_SERVER": board.broker.host, "MQBOARD_PORT": str(board.broker.port)}
    names["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-ec", commands.replace("esp32/test", board.prefix)],
        cwd=folder,
        env=os.environ | names,
        check=True,
    )
    wait_until(lambda: modules_of(board)["blinky"].state == "running")


def check_blinky(board, session):
    log = topic_of(board, session, "log")
    session.connection.publish(f"{board.prefix}/blinky/period", b"twenty")
    session.connection.publish(f"{board.prefix}/blinky/period", b"40")
    said = b""
    while b"the period is 40 ms" not in said:
        said += log.get(timeout=10) + b"\n"
    assert b"not a period: b'twenty'" in said
    deadline = time.monotonic() + 10
    seen = set()
    while seen != {"0", "1"}:
        assert time.monotonic() < deadline
        seen.add(board.eval("machine.Pin(2).value()"))


def check_sysinfo(board, session):
    arrived = topic_of(board, session, "sysinfo")
    facts = json.loads(arrived.get(timeout=10))
    assert facts["heap_free"] > 10_000 and facts["heap_used"] > 10_000
    assert (facts["reset_cause"], facts["reconnects"], facts["mode"]) == ("reset", 0, "normal")
    assert -100 < facts["rssi"] < 0
    assert json.loads(arrived.get(timeout=10))["uptime_s"] > facts["uptime_s"]


def check_states(board):
    wait_until(lambda: modules_of(board)["dies"].restarts)
    found = modules_of(board)
    assert {name: module.state for name, module in found.items()} == {
        "absent": "failed",
        "blinky": "running",
        "dies": "waiting",
        "main": "ended",
        "sysinfo": "running",
    }
    assert found["blinky"].file == "/app/blinky.py"
    assert found["sysinfo"].file == "firmware"
    assert found["dies"].error == DIED
    assert found["dies"].crashes == 0
    assert board.eval("board.seen") == "['__main__']"


def check_new_code(board):
    code, _, err = board.mqboard("modules", "restart", "blinkey")
    assert code == 2 and "blinky?" in err
    board.eval("f = open('/app/blinky.py', 'w'); f.write('import nowhere'); f.close()")
    code, _, err = board.mqboard("modules", "restart", "blinky")
    assert code == 1 and "no module named 'nowhere', File \"/app/blinky.py\", line 1" in err
    assert board.eval("machine.Pin(2).value()") == "0"  # it cleaned up


def check_help(board):
    text = board.eval("help(board)")
    for attribute in re.findall(r"^(?:await )?board\.(\w+)", text, re.M):
        assert board.eval(f"hasattr(board, '{attribute}')") == "True"
    assert "mqboard/modules/sysinfo" in board.eval("help('modules')")
    assert "Pin" in board.eval("help(machine.Pin)")


def test_a_module_that_hangs_is_disabled_and_the_others_run(make_board):
    board = make_board(
        files={"/hangs.py": HANGS.encode(), "/lib/dies.py": DIES.encode(), "/main.py": b"1/0"},
        modules={"hangs": {}, "dies": {}},
        watchdog={"timeout_s": 2},
    )
    with board.session() as session:
        birth = board.wait_status(session, lambda status: status.get("disabled"))
    assert birth["disabled"] == {"hangs": "after 3 crashes"}
    assert (birth["mode"], birth["reset_cause"]) == ("normal", "watchdog")
    found = modules_of(board)
    assert (found["hangs"].state, found["hangs"].crashes) == ("disabled", 3)
    assert found["dies"].state == "waiting"
    text = board.device.console.text()
    assert text.count('/main.py does not run unless "modules" names "main"') == 4  # once per boot
    board.eval("f = open('/hangs.py', 'w'); f.write('x = 1'); f.close()")
    code, _, err = board.mqboard("modules", "enable", "hangs")
    assert code == 1 and "no start(board, settings)" in err
    assert "disabled" not in board.wait_online()
