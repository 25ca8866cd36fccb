"""Tests a simulated board in the foreground: console on standard output, stopped by Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mqhost.cli.tasks import simulator
from mqhost.errors import UsageError
from mqhost.paths import BUILD

SCRIPT = """
import sys
from pathlib import Path
from mqhost.cli.tasks.simulator import run_foreground
server, port = sys.argv[1], int(sys.argv[2])
run_foreground("e2e/run", server, port, flash=Path(sys.argv[3]), image=Path(sys.argv[4]))
"""
# A signal may come to any thread; the main one, which waits, is then not woken by it.
ELSEWHERE = """
import signal, sys, threading

def end():
    sys.stdin.readline()
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=end, daemon=True).start()
"""
WAIT = 30.0


@pytest.fixture
def foreground(firmware, broker, tmp_path):
    """Start the board as a process; it is killed at the end if it still runs."""
    started = []

    def start(script=SCRIPT):
        arguments = [broker.host, str(broker.port), tmp_path / "board.flash", firmware.flash]
        process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def read_until(process, text):
    """Return the output up to the line with `text`; fail when the output ends without."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines) + process.stderr.read())


def test_it_runs_until_ctrl_c_and_keeps_its_flash(foreground, tmp_path):
    for sentence in ("New board e2e/run", "keeps its firmware and configuration"):
        process = foreground()
        assert sentence in read_until(process, "boot: ota_0")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT)
        assert process.returncode == 0, err
        assert out.endswith("Stopped.\n")
        assert "Traceback" not in err
    assert [file.name for file in tmp_path.iterdir()] == ["board.flash"]


def test_a_ctrl_c_that_another_thread_gets_ends_it_too(foreground):
    process = foreground(ELSEWHERE + SCRIPT)
    read_until(process, "boot: ota_0")
    out, err = process.communicate("now\n", timeout=WAIT)
    assert (process.returncode, err) == (0, "") and out.endswith("Stopped.\n")


def test_without_a_build_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(simulator, "BUILD", tmp_path / "build")
    with pytest.raises(UsageError, match="run invoke build --board sim"):
        simulator.run_foreground("e2e/run", flash=tmp_path / "flash")
    assert list(tmp_path.iterdir()) == []


def test_each_prefix_has_a_flash_of_its_own():
    assert simulator.flash_file("esp32/test") == Path(BUILD / "sim" / "esp32-test.flash")
    assert simulator.flash_file("esp32/test") != simulator.flash_file("esp32/other")
