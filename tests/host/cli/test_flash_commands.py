"""Tests flash, provision, monitor and adopt as commands: their options, and no password printed."""

import io
import os
import subprocess
import sys

import pytest
from chipbuild import ENVIRONMENT, NOBODY, WISH
from rich.console import Console

from mqhost.cli.tasks import flash_commands as usb
from mqhost.errors import UsageError
from mqhost.link.boardconfig import Wish
from mqhost.paths import ROOT


def test_the_task_prints_no_password(tmp_path, monkeypatch):
    out = io.StringIO()
    options = {"output": str(tmp_path / "o.bin"), "questions": NOBODY}
    usb.run_provision("esp32", "", WISH, Console(file=out), **options)
    assert "secret" not in out.getvalue()
    with pytest.raises(UsageError, match="one of the two"):
        usb.run_provision("esp32", "P", WISH, Console(file=out), **options)


def test_the_password_of_a_setup_network_is_printed_once_for_the_label(tmp_path):
    out = io.StringIO()
    target = tmp_path / "o.bin"
    options = {"output": str(target), "questions": NOBODY, "setup": True}
    usb.run_provision("esp32", "", Wish(), Console(file=out, width=200), **options)
    (label,) = [line for line in out.getvalue().splitlines() if "setup network is" in line]
    key = label.rpartition(" ")[2]
    assert len(key) == 14 and key.encode() in target.read_bytes()
    out = io.StringIO()
    target.unlink()
    usb.run_provision("esp32", "", WISH, Console(file=out), **options | {"setup": False})
    assert "setup network" not in out.getvalue() and b'"setup"' not in target.read_bytes()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-m invoke flash --board sim --baud 9600 --erase", "sim is a simulated board"),
        ("-m invoke monitor --port sim:x", "sim:x is a simulated board"),
        ("-m invoke provision --board esp32 --ssid x", "missing: --server, --prefix"),
        ("-m mqhost.cli --prefix a adopt --board sim --port /dev/x --ssid s", "simulated board"),
        ("-m mqhost.cli adopt --board nope --force", "Known boards: "),
    ],
)
def test_the_commands_take_their_options(line, words):
    process = subprocess.run(
        [sys.executable, *line.split()],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2, process.stderr
    assert words in process.stderr and "Traceback" not in process.stderr
