"""Tests the pytest plugin as its users do: by runs of pytest, with real boards in them."""

import os
import signal
import subprocess
import sys

import pytest
from tutorial import follow
from waiting import wait_until

from mqhost.link.settings import Settings
from mqhost.paths import ROOT
from mqhost.testing.firmware import built

_FAN = """
import asyncio


async def start(board, settings):
    print("limit", settings["limit"])
    await asyncio.sleep(600)
"""


@pytest.fixture
def run(tmp_path, firmware):
    """Give run(text of a test file, *arguments) -> the output of pytest."""

    def call(text, *arguments, **environment):
        (tmp_path / "test_it.py").write_text(text)
        done = subprocess.run(
            [*pytest_command(firmware), *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        return done.stdout + done.stderr

    return call


def pytest_command(firmware):
    options = ["-c", "/dev/null", "-o", f"mqboard_firmware={firmware.folder}"]
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", *options]


def test_the_page_is_right_word_for_word(tmp_path, firmware):
    page = (ROOT / "docs" / "testing.md").read_text()
    nowhere = Settings(server="127.0.0.1", port=1, tls=False)
    build = f"pytest -q -o mqboard_firmware={firmware.folder}"
    follow(
        page,
        tmp_path,
        nowhere,
        replaced={
            "pytest -q": build,
            "pytest -q tests/test_wrong.py": f"{build} tests/test_wrong.py",
        },
        codes={"pytest -q tests/test_wrong.py": [1]},
    )


def test_a_board_is_made_as_it_is_told(run, tmp_path, firmware):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "fan.py").write_text(_FAN)
    (tmp_path / "release").mkdir()
    for name in ("app.bin", "flash.bin", "image.json"):
        (tmp_path / "release" / name).symlink_to(firmware.folder / name)
    # As if a project had frozen it.
    (tmp_path / "release" / "build.json").write_text('{"application": {"sysinfo": {}}}')
    told = run(
        """
import pytest

pytestmark = pytest.mark.mqboard(files={"/app": "src"}, modules={"fan": {"limit": 3}})


@pytest.mark.mqboard(config={"log": {"level": "error"}}, heap="160k")
def test_it(mqboard_boards, tmp_path):
    board = mqboard_boards("farm/one", modules={"fan": {"limit": 4}}, files={
        "/app/fan.py": "src/fan.py", "/data": b"1,2"
    })
    assert board.prefix == "farm/one" and board.config["log"] == {"level": "error"}
    board.wait_log("limit 4")
    assert board.eval("open('/data').read()") == "1,2"
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.txt").write_text("here")
    board.put(tmp_path / "more", "/deep/folder")
    assert board.eval("open('/deep/folder/a.txt').read()") == "here"
    assert board.restart_module("fan") == "running"
    board.wait_log("limit 4")
    board.reset()
    board.wait_online()
    board.wait_log("limit 4")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        board.eval("1 / 0")


@pytest.mark.mqboard(firmware="release")
def test_what_is_frozen_starts(mqboard_board):
    assert mqboard_board.modules == {"fan": "running", "sysinfo": "running"}


@pytest.mark.mqboard(colour="red")
def test_wrong_word(mqboard_board):
    pass


@pytest.mark.mqboard(files={"/app/fan.py": "gone.py"})
def test_missing_file(mqboard_board):
    pass
"""
    )
    assert "2 passed, 2 errors" in told, told
    assert "colour is nothing that a board of a test can be given" in told
    assert "gone.py cannot be read" in told
    assert "Traceback" not in told and "During handling" not in told


def test_without_a_broker_there_is_a_sentence(run, tmp_path):
    told = run(
        """
def test_it(mqboard_board, monkeypatch):
    pass
""",
        "-p",
        "nobroker",
        PYTHONPATH=_without_mosquitto(tmp_path),
    )
    assert "mosquitto is not installed. On Debian: apt-get install mosquitto" in told, told
    assert "1 error" in told and "Traceback" not in told


def _without_mosquitto(folder):
    """Return a folder with a plugin that has mosquitto not found; it may be in a fixed place."""
    text = "import shutil\nfound = shutil.which\n" + (
        "shutil.which = lambda name, *more, **words: (\n"
        "    None if name == 'mosquitto' else found(name, *more, **words)\n)\n"
    )
    (folder / "nobroker.py").write_text(text)
    return str(folder)


def test_ctrl_c_ends_boards_and_brokers(tmp_path, firmware):
    (tmp_path / "test_it.py").write_text(
        """
import time
from pathlib import Path


def test_it(mqboard_board):
    pids = f"{mqboard_board.device.pid} {mqboard_board.broker.pid}"
    Path("new").write_text(pids)
    Path("new").rename("pids")
    time.sleep(600)
"""
    )
    process = subprocess.Popen(
        pytest_command(firmware), cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: (tmp_path / "pids").exists() or process.poll() is not None, 120)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert "KeyboardInterrupt" in told and process.returncode == 2, told
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


def test_who_uses_no_board_has_nothing_of_it_loaded(run):
    told = run(
        """
import sys


def test_it(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("mqboard")
    ours = sorted(name for name in sys.modules if name.partition(".")[0] in ("mqhost", "mqwire"))
    assert ours == ["mqhost", "mqhost.testing", "mqhost.testing.plugin"]
    assert not {"paho", "littlefs", "rich", "click"} & sys.modules.keys()
"""
    )
    assert "1 passed" in told, told


def test_firmware_is_built_once_in_a_run(monkeypatch, tmp_path):
    from mqhost.testing import firmware as module

    builds = []

    def build(board, output, own):
        builds.append(board.name)
        output.mkdir(parents=True, exist_ok=True)
        for name in ("app.bin", "flash.bin"):
            (output / name).write_bytes(b"")

    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "build", build)
    first = built("run 1")
    assert built("run 1") == first and builds == ["sim"]
    assert built("run 2") == first and builds == ["sim", "sim"]
    assert first.flash.is_relative_to(tmp_path)
