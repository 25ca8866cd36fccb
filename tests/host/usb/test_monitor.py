"""Tests the monitor: the console of a board at a serial port, until its exit key."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from mqhost.errors import UsageError
from mqhost.usb.monitor import command, monitor


def read_until(file, text, again=lambda: None, seconds=30):
    """Return what `file` gives until `text` is in it; `again` is called while nothing comes."""
    got, deadline = b"", time.monotonic() + seconds
    while text not in got:
        assert time.monotonic() < deadline, got
        if select.select([file], [], [], 0.2)[0]:
            got += os.read(file, 1000)
        else:
            again()
    return got


def test_the_monitor_shows_the_console_until_its_exit_key():
    ours, port = pty.openpty()
    keys, terminal = pty.openpty()
    script = "import sys, mqhost.usb.monitor as m; sys.exit(m.monitor(sys.argv[1]))"
    process = subprocess.Popen(
        [sys.executable, "-c", script, os.ttyname(port)],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        shown = process.stdout.fileno()
        read_until(shown, b"Quit: Ctrl+]")
        os.write(ours, "grüß dich\r\n".encode())
        read_until(shown, "grüß dich".encode())
        # Ctrl-C is for the board (as soon as the terminal is set up to let it through).
        read_until(ours, b"\x03", again=lambda: os.write(keys, b"\x03"))
        os.write(keys, b"\x1d")
        assert process.wait(30) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        for file in (ours, port, keys, terminal):
            os.close(file)


def test_the_monitor_says_where_a_simulated_boards_console_is():
    with pytest.raises(UsageError, match="mqboard --prefix … sim --flash x"):
        monitor("sim:x")
    with pytest.raises(UsageError, match="There is no port /nowhere"):
        monitor("/nowhere")
    assert command("P")[-2:] == ["P", "115200"]
