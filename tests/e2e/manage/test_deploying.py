"""Deploys applications to real simulated boards: good ones stay, bad ones are left, and it is said
why. The firmware has a key: what is not signed with it is refused.
"""

import json
import random
import signal
from dataclasses import replace

import pytest
from rsakeys import rsa_key
from tutorial import follow, steps_of

from mqhost.deploy.application import Application
from mqhost.deploy.deployment import deploy as bring
from mqhost.deploy.folder import read_folder
from mqhost.deploy.history import read_history
from mqhost.errors import RefusedError
from mqhost.paths import ROOT
from mqhost.signing.keys import SigningKey, find_signing_key
from mqhost.sim.device import State
from mqwire import codes

UPDATE = {"health_s": 0.5, "confirm_s": 10}
GOOD = """import asyncio
async def start(board, settings):
    await board.client.publish(board.config.prefix + "/hello", str(settings).encode(), qos=1)
    while True:
        await asyncio.sleep(1)
"""
CRASHING = "async def start(board, settings):\n    pins = []\n    pins[3]\n"
HANGING = "async def start(board, settings):\n    while True:\n        pass\n"
DEAF = """import asyncio, network
async def start(board, settings):
    while True:
        network.WLAN(network.STA_IF).active(False)
        await asyncio.sleep(0.2)
"""


@pytest.fixture(scope="module")
def board(make_shared_board):
    made = make_shared_board(update=UPDATE, watchdog={"timeout_s": 4})
    made.wait_online()
    return made


@pytest.fixture
def folder(tmp_path):
    """Give a folder for an application; write(name=text, …) puts files into it."""

    def write(version, **files):
        made = tmp_path / "greenhouse"
        made.mkdir(exist_ok=True)
        spec = f'version = "{version}"\n[modules.pump]\npin = 2\n'
        (made / "app.toml").write_text(spec)
        for name, text in files.items():
            path = made / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.with_suffix(".py").write_text(text)
        return made

    return write


def deploy(board, *arguments):
    return board.mqboard("deploy", *map(str, arguments))


def test_a_good_one_runs_and_a_bad_one_is_left(board, folder):
    code, out, err = deploy(board, folder("1", pump=GOOD, lib__driver="x = 1\n"))
    assert (code, err) == (0, ""), out + err
    assert f"{board.prefix} runs greenhouse 1, confirmed" in out and "sent: 2 files" in out
    code, out, _ = board.mqboard("modules", "--json")
    (module,) = json.loads(out)["modules"]
    assert module["state"] == "running" and module["file"].startswith("/apps/")
    assert board.eval("__import__('driver').x") == "1"
    code, out, _ = deploy(board, folder("1"))
    assert (code, out.splitlines()[-1]) == (0, f"{board.prefix} runs greenhouse 1 already.")

    code, out, err = deploy(board, folder("2", pump=CRASHING))
    assert code == 1, out + err
    assert "is back with greenhouse 1. greenhouse 2 failed: module pump died 3 times" in err
    assert 'IndexError: list index out of range, File "pump.py", line 3, in start.\n' in err
    trace = err[err.index("Traceback") :].splitlines()
    assert len(trace) == 3 and 'pump.py", line 3, in start' in trace[1]  # no frames of ours
    code, out, _ = board.mqboard("info")
    assert "greenhouse 1 (confirmed); greenhouse 2 failed: module pump died" in out


def test_one_that_hangs_is_left_and_the_crash_says_where(board, folder):
    deploy(board, folder("1", pump=GOOD, lib__driver="x = 1\n"))
    made = folder("3", pump=HANGING)
    code, _, err = deploy(board, made)
    assert code == 1
    assert "is back with greenhouse 1. greenhouse 3 failed: the watchdog reset it" in err
    assert "while it ran: module pump" in err
    code, _, err = deploy(board, made)
    assert code == 5 and "stays as it is: the watchdog reset it" in err and "--retry-failed" in err


def test_one_that_cuts_the_board_off_is_left(board, folder):
    code, _, err = deploy(board, folder("4", pump=DEAF))
    assert code == 1
    assert "is back with greenhouse 1. greenhouse 4 failed: it " in err and "within 10 s" in err


def test_what_is_signed_by_nobody_or_a_stranger_is_refused_by_the_board(board, folder):
    source = read_folder(folder("5", pump=GOOD))
    stranger = SigningKey(rsa_key(0), "stranger")
    own = find_signing_key()
    made = Application.make(source, read_history(source), own)
    wrong = [
        (Application.make(source, read_history(source), None), codes.BAD_SIGNATURE),
        (Application.make(source, read_history(source), stranger), codes.UNKNOWN_KEY),
        (replace(made, signature=b""), codes.BAD_SIGNATURE),
        (replace(made, signature=stranger.sign(made.manifest)), codes.BAD_SIGNATURE),
        (replace(made, manifest=made.manifest.replace(b'"5"', b'"6"')), codes.BAD_SIGNATURE),
    ]
    for application, code in wrong:
        with board.session() as session, pytest.raises(RefusedError) as caught:
            bring(session, application)
        assert caught.value.code == code
    assert board.eval(f"{made.id!r} in __import__('os').listdir('/apps')") == "False"


def test_power_that_goes_while_files_arrive_costs_time_and_nothing_else(board, folder, tmp_path):
    made = folder("6", pump=GOOD)
    (made / "table.bin").write_bytes(random.Random(6).randbytes(60_000))
    board.device.cut_power_after(20)
    process = board.command("deploy", str(made))
    board.device.wait_for(lambda device: device.state == State.OFF, 60)
    board.device.cut_power_after(None)
    board.device.power_on()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert "runs greenhouse 6, confirmed" in out
    found = board.eval("__import__('os').stat(board.config.app + '/table.bin')[6]")
    assert found == "60000"


def test_ctrl_c_leaves_what_runs_and_the_same_again_goes_on(board, folder):
    made = folder("6.1", pump=GOOD)
    (made / "table.bin").write_bytes(random.Random(7).randbytes(150_000))
    board.device.latency(True)
    try:
        process = board.command("deploy", str(made))
        while "Sending files: " not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
    finally:
        board.device.latency(False)
    assert json.loads(deploy(board, "--list", "--json")[1])["now"]["version"] == "6"
    code, out, err = deploy(board, made)
    assert (code, err) == (0, "") and "runs greenhouse 6.1, confirmed" in out


def test_back_to_the_one_before_and_forth(board, folder):
    deploy(board, folder("6", pump=GOOD))
    deploy(board, folder("7", pump=GOOD + "# changed\n"))
    code, out, err = deploy(board, "--rollback")
    assert (code, err) == (0, ""), err
    assert f"{board.prefix} is back at greenhouse 6, confirmed" in out
    code, out, _ = deploy(board, "--list")
    assert [line.split()[:3] for line in out.splitlines()[2:4]] == [
        ["greenhouse", "6", "confirmed"],
        ["greenhouse", "7", "previous"],
    ]
    record = json.loads(deploy(board, "--list", "--json")[1])
    assert (record["now"]["version"], record["before"]["version"]) == ("6", "7")


def test_safe_mode_runs_nothing_of_it_and_a_new_one_leads_out(board, folder):
    code, out, _ = board.mqboard("reset", "--safe")
    assert code == 0 and "safe mode" in out
    assert "(stopped)" in board.said("info")
    assert board.eval("board.modules.find('pump').state()") == "'stopped'"
    made = folder("8", pump=GOOD, main="import driver\nran = driver.x\n", lib__driver="x = 8\n")
    code, out, err = deploy(board, made, "--mpy")
    assert (code, err) == (0, ""), out + err
    status = json.loads(board.said("status", "--json"))
    assert (status["mode"], status["app"]["version"]) == ("normal", "8")
    names = board.eval("sorted(__import__('os').listdir(board.config.app))")
    assert names == "['lib', 'main.py', 'pump.mpy']"


def test_dry_run_changes_nothing(board, folder):
    code, out, err = deploy(board, folder("9", pump=GOOD, new="x = 9\n"), "--dry-run")
    assert (code, err) == (0, "")
    assert "send             6 B  new.py" in out and "Nothing was changed." in out
    code, out, _ = deploy(board, folder("9"), "--dry-run", "--json")
    assert "new.py" in json.loads(out)["missing"]
    assert json.loads(deploy(board, "--list", "--json")[1])["now"]["version"] == "8"


def test_the_example_of_the_documents(make_board, tmp_path):
    board = make_board(prefix="esp32/test", update=UPDATE)
    board.wait_online()
    page = (ROOT / "docs" / "applications.md").read_text()
    assert len(steps_of(page)) > 10
    follow(page, tmp_path, board.settings(), codes={"mqboard deploy greenhouse": [0, 1, 0]})
