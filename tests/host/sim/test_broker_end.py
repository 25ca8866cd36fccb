"""Tests that however the broker's process is ended, its mosquitto ends with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import wait_until

from mqhost.interrupt import ended_like_ctrl_c
from mqhost.paths import ROOT
from mqhost.sim.broker import free_port


@pytest.fixture
def broker_task():
    """Run `invoke broker`, serving: (process, the process id of its mosquitto)."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "invoke", "broker", "--port", str(port)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        while f"127.0.0.1:{port}" not in (line := process.stdout.readline()):
            assert line, "the broker ended early"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (mosquitto,) = map(int, children)
        yield process, mosquitto
        process.kill()


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_broker_like_ctrl_c(broker_task, number):
    process, mosquitto = broker_task
    process.send_signal(number)
    said = process.stdout.read()
    assert process.wait(10) in (0, 130)
    assert "Traceback" not in said and "stopped" in said
    assert not is_running(mosquitto)


def test_a_broker_that_is_killed_leaves_no_mosquitto(broker_task):
    process, mosquitto = broker_task
    process.kill()
    process.wait(10)
    wait_until(lambda: not is_running(mosquitto))


def test_a_signal_that_is_ignored_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_like_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_afterwards_the_signals_are_what_they_were():
    before = signal.getsignal(signal.SIGTERM)
    with ended_like_ctrl_c(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
