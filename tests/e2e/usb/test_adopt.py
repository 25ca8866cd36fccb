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
from mqhost.sim.broker import HOST, Broker, free_port
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
port, prefix, flash, folder, at, psk = sys.argv[1:]
wish = Wish("simnet", at or None, prefix, psk=psk or None)
adopt.adopt(
    adopt.Adoption("sim", flash, wish, folder=Path(folder)),
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


def adopted(chip, firmware, port, prefix, at="", psk="", **environment):
    """Adopt a board with the broker at `port` as the command line does, started by hand when it
    asks for that; return what was said before, and after."""
    path, table = chip
    arguments = [str(port), prefix, f"sim:{path}", str(firmware.folder), at, psk]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | PASSWORD | environment | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
    )
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if f"Waiting for {prefix}" in line:
                break
        said = "".join(said)
        with Device(path, table=table, name="guided"):
            rest, _ = process.communicate(timeout=BOOT)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, said + rest
    assert "in slot ota_0" in rest and "eval '1+1' → 2" in rest
    assert "simpassword" not in said + rest
    return said, rest


def test_adopt_guides_to_a_board_that_answers(chip, firmware, broker):
    said, rest = adopted(chip, firmware, broker.port, "küche/licht 2")
    assert f"mqboard --prefix 'küche/licht 2' sim --flash {chip[0]}" in said
    assert "küche/licht 2 is yours. Go on with: mqboard --prefix 'küche/licht 2' info" in rest


def test_adopt_brings_a_board_to_a_broker_with_pre_shared_keys(chip, firmware, tmp_path):
    key = os.urandom(32).hex()
    (tmp_path / "keys").write_text(f"pump:{key}\n")
    secure = free_port()
    lines = [f"psk_file {tmp_path / 'keys'}", f"listener {secure} {HOST}", "psk_hint mqboard"]
    lines += ["use_identity_as_username true", "log_type all", f"log_dest file {tmp_path / 'log'}"]
    with Broker(extra=lines) as broker:
        at = f"{HOST}:{secure}"
        said, rest = adopted(
            chip, firmware, broker.port, "adopt/psk", at, "pump", MQBOARD_BROKER_PSK=key
        )
    # The board came by its key and no other way, and it answered.
    log = (tmp_path / "log").read_text().splitlines()
    (came,) = [line for line in log if "New client connected" in line and "u'pump'" in line]
    assert " as mqb-" in came and key not in said + rest
