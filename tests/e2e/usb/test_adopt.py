"""Adopts a board as `mqboard adopt` does: real firmware, a real broker, real answers."""

import os
import subprocess
import sys

import pytest

from mqhost.cli.terminal.questions import Questions
from mqhost.flash.filesystem import list_files
from mqhost.link.boardconfig import Wish
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.sim.device import Device
from mqhost.usb import provision
from mqhost.usb.flashing import flash
from mqhost.usb.provision import FilesThere, Provision

BOOT = 60.0
PASSWORD = {"MQBOARD_WIFI_PASSWORD": "simpassword"}
SCRIPT = """
import sys
from pathlib import Path
from rich.console import Console
from mqhost.cli import adopt
from mqhost.link.boardconfig import Wish
from mqhost.cli.terminal.questions import Questions
from mqhost.link.settings import Settings
port, prefix, flash, folder = sys.argv[1:]
adopt.adopt(
    adopt.Adoption("sim", flash, Wish("simnet", prefix=prefix), folder=Path(folder)),
    Settings(port=int(port)), Questions.at_terminal(), Console(),
)
"""


@pytest.fixture
def chip(tmp_path, sim):
    """Make a new chip's flash file, and its partitions."""
    return tmp_path / "chip.flash", sim.table


def what(broker, prefix):
    wish = Wish("simnet", f"{broker.host}:{broker.port}", prefix, tls=False)
    return Provision.make(wish, secret=Questions(None, None, PASSWORD).secret)


def test_a_flashed_and_provisioned_board_mounts_its_files_and_connects(chip, sim, firmware, broker):
    path, table = chip
    port = f"sim:{path}"
    flash(sim, port, folder=firmware.folder)
    given = what(broker, "adopt/files")
    given.files["/certs/ca.pem"] = os.urandom(5000)
    provision.provision(sim, given, port)
    settings = Settings(server=broker.host, port=broker.port, prefix="adopt/files")
    with Device(path, table=table, name="files") as device, Session(settings) as session:
        device.wait_for(lambda _: session.births, BOOT, "its birth")
        code = "open('/config.json').read()", "len(open('/certs/ca.pem', 'rb').read())"
        text, size = (session.request("eval", line.encode()).data.decode() for line in code)
        assert "adopt/files" in text and "simnet" in text
        assert size == "5000"
        session.request("eval", b"open('/app.py', 'w').write('x' * 9000)")
    # What the board has written is found, and not replaced unasked.
    with pytest.raises(FilesThere, match="/app.py, /certs/ca.pem, /config.json"):
        provision.provision(sim, what(broker, "adopt/other"), port)
    image = path.read_bytes()[table.find("vfs").offset :]
    assert "/app.py" in list_files(lambda start, size: image[start : start + size], len(image))


def test_a_board_without_a_configuration_is_not_cut_off_from_getting_one(
    chip, sim, firmware, broker
):
    path, table = chip
    flash(sim, f"sim:{path}", folder=firmware.folder)
    with Device(path, table=table, name="bare") as device:
        device.wait_console("no usable configuration", BOOT)
    # The filesystem that the board made for itself is empty: nothing to lose.
    provision.provision(sim, what(broker, "adopt/bare"), f"sim:{path}")
    settings = Settings(server=broker.host, port=broker.port, prefix="adopt/bare")
    with Device(path, table=table, name="bare") as device, Session(settings) as session:
        device.wait_for(lambda _: session.births, BOOT, "its birth")


def test_adopt_guides_to_a_board_that_answers(chip, firmware, broker):
    path, table = chip
    arguments = [str(broker.port), "küche/licht 2", f"sim:{path}", str(firmware.folder)]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | PASSWORD | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
    )
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if "Waiting for küche/licht 2" in line:
                break
        assert f"invoke sim --prefix 'küche/licht 2' --flash {path}" in "".join(said), said
        with Device(path, table=table, name="guided"):
            rest, _ = process.communicate(timeout=BOOT)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, rest
    assert "in slot ota_0" in rest and "eval '1+1' → 2" in rest
    assert "küche/licht 2 is yours. Go on with: mqboard --prefix 'küche/licht 2' info" in rest
    assert "simpassword" not in "".join(said) + rest
