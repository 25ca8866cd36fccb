"""Runs the command line: here, or as a process of its own with an environment and a terminal."""

import io
import os
import pty
import random
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from pushing import offer_for
from signed import write_image

import mqhost
import mqwire
from mqhost.cli.main import main

APP = random.Random(1).randbytes(30_000)  # of an image that the fake board does not run
HOST = Path(mqhost.__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{HOST}{os.pathsep}{HOST.parent / 'frozen'}"}


def write_app(folder):
    """Write an app.bin with its offer into `folder`; return its path."""
    return write_image(folder, APP, offer_for(APP))


def here(capsys, line, given="", **environment):
    """Run `line`, of command_line(), in this process: most of it is done 0.3 s sooner so.

    On stdin there is `given`. Returns what subprocess.run does.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO(given))
        for name, value in environment.items():
            patch.setenv(name, value)
        capsys.readouterr()
        code = main(line[3:])  # behind python -m mqhost.cli
    return subprocess.CompletedProcess(line, code, *capsys.readouterr())


def command_line(port, prefix, *arguments):
    options = ["--port", str(port), "--timeout", "5"]
    if prefix:
        options += ["--prefix", prefix]
    return [sys.executable, "-m", "mqhost.cli", *options, *arguments]


def logging(board, payload, prefix=None):
    """Have the board log `payload` over and over while the `with` block runs, at its `prefix`."""
    return publishing(board, (mqwire.log_topic(prefix or board.prefix), payload))


@contextmanager
def publishing(board, *messages):
    """Have the board publish messages, (topic, payload) each, over and over."""
    stop = threading.Event()

    def talk():
        while not stop.wait(0.05):
            for topic, payload in messages:
                board._client.publish(topic, payload)

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        yield
    finally:
        stop.set()
        talker.join()


def on_terminal(argv, **options):
    """Run `argv` with a terminal as its output; return the bytes that the terminal got."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=ENVIRONMENT, **options
    )
    os.close(theirs)
    shown = bytearray()
    try:
        while data := _read(ours):
            shown += data
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return bytes(shown)


def _read(terminal):
    """Read what is next; nothing when the last process has left the terminal."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
