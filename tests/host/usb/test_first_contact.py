"""Tests flash and provision: the right chip, nothing lost unasked, passwords where they belong."""

import contextlib
import io
import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from fakechip import FakeChip
from rich.console import Console

from mqhost.build.board import find
from mqhost.cli import adopt as adopting
from mqhost.cli import flash_commands as usb
from mqhost.cli.adopt import Adoption, adopt
from mqhost.cli.questions import Questions, replacing
from mqhost.errors import BrokerError, UsageError
from mqhost.flash.espimage import build_app_image
from mqhost.flash.filesystem import list_files
from mqhost.flash.partition import TABLE_OFFSET, PartitionTable
from mqhost.link import boardconfig
from mqhost.link.boardconfig import Wish
from mqhost.link.settings import Settings
from mqhost.paths import ROOT
from mqhost.sim.flash import Flash
from mqhost.usb import provision, serial_port
from mqhost.usb.flashing import Firmware, flash, open_target
from mqhost.usb.monitor import command, monitor
from mqhost.usb.provision import FilesThere, Provision, write_file
from mqhost.usb.serial_port import Port, find_port
from mqwire.config import MAX_KEPT

ESP32, SIM = find("esp32"), find("sim")
WISH = Wish("home", "10.0.0.1", "esp32/test", tls=False)
ENVIRONMENT = {"MQBOARD_WIFI_PASSWORD": "wifi-secret", "MQBOARD_BROKER_PASSWORD": "broker-secret"}
NOBODY = Questions(None, None, ENVIRONMENT)


def make(wish=WISH, questions=NOBODY, **options):
    return Provision.make(wish, secret=questions.secret, **options)


def lay_build(folder, board, **report):
    """Lay out a build of `board`: a flash image with a bootloader, the table, and an app."""
    folder.mkdir(exist_ok=True)
    table = PartitionTable.load(board.partitions, board.flash_size)
    app = build_app_image(
        b"code" * 5000,
        chip_id=board.chip_id,
        project="p",
        version="v",
        build_time=0,
        idf_version="i",
    )
    image = b"boot" * 1000
    image = image.ljust(TABLE_OFFSET - board.flash_offset, b"\xff") + table.to_bytes()
    image = image.ljust(table.slots[0].offset - board.flash_offset, b"\xff") + app
    (folder / "flash.bin").write_bytes(image)
    (folder / "build.json").write_text(json.dumps({"version": "1.2.3"} | report))
    return folder


@pytest.fixture
def built(tmp_path):
    return lay_build(tmp_path / "build", ESP32)


@pytest.fixture
def chip():
    with FakeChip() as running:
        yield running


def files_on(data, board=ESP32):
    vfs = PartitionTable.load(board.partitions, board.flash_size).find("vfs")
    part = bytes(data[vfs.offset : vfs.end])
    return list_files(lambda offset, size: part[offset : offset + size], vfs.size)


# Ports


def test_the_only_usb_port_is_found():
    built_in, usb_port = Port("/dev/ttyS0", "", False), Port("/dev/ttyUSB0", "CP2102", True)
    assert find_port(None, [built_in, usb_port]) == "/dev/ttyUSB0"
    assert find_port("/dev/x", [built_in, usb_port]) == "/dev/x"


def test_several_ports_are_listed():
    found = [Port("/dev/ttyUSB0", "CP2102", True), Port("/dev/ttyACM0", "", True)]
    with pytest.raises(UsageError, match=r"2 serial ports: /dev/ttyUSB0 \(CP2102\), /dev/ttyACM0"):
        find_port(None, found)


def test_without_a_port_it_says_so():
    with pytest.raises(UsageError, match="no USB serial port.*carries data, or give --port"):
        find_port(None, [])
    with pytest.raises(UsageError, match=r"other ports: /dev/ttyS0\)"):
        find_port(None, [Port("/dev/ttyS0", "", False)])
    assert isinstance(serial_port.ports(), list)


# Flash


def test_the_firmware_is_written_where_the_chip_looks_for_it(chip, built):
    said = flash(ESP32, chip.port, folder=built)
    image = (built / "flash.bin").read_bytes()
    assert chip.flash[0x1000 : 0x1000 + len(image)] == image
    assert "ESP32 with 4 MB" in said and "esp32 1.2.3" in said and "at 0x1000" in said


def test_the_builds_own_offset_wins(tmp_path):
    folder = lay_build(tmp_path / "build", replace(ESP32, flash_offset=0), flash_offset=0)
    assert Firmware.load(ESP32, folder).offset == 0


def test_what_is_not_built_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"flash\.bin is missing.*invoke build --board esp32"):
        flash(ESP32, "P", folder=tmp_path)


def test_another_boards_or_a_damaged_image_is_refused_before_anything_is_asked(built):
    path = built / "flash.bin"
    good = path.read_bytes()
    with pytest.raises(UsageError, match="other partitions"):
        Firmware.load(find("esp32s3"), lay_build(built, replace(ESP32, flash_offset=0)))
    path.write_bytes(good[:-40])
    with pytest.raises(UsageError, match="cannot be flashed.*truncated"):
        Firmware.load(ESP32, built)
    path.write_bytes(b"\xff" * len(good))
    with pytest.raises(UsageError, match="is no flash image for esp32"):
        Firmware.load(ESP32, built)
    lay_build(built, replace(ESP32, chip_id=5))
    with pytest.raises(UsageError, match="for ESP32-C3; this board is ESP32"):
        Firmware.load(ESP32, built)


def test_simulated_and_real_are_not_mixed_up(tmp_path, built):
    with pytest.raises(UsageError, match="is a simulated board.*--port sim:PATH"):
        flash(SIM, "/dev/ttyUSB0", folder=lay_build(tmp_path / "sim", SIM))
    with pytest.raises(UsageError, match="a real one"):
        flash(ESP32, f"sim:{tmp_path / 'flash'}", folder=built)
    with pytest.raises(UsageError, match="flash file"):
        open_target("sim:")


def test_a_running_simulated_board_is_left_alone(tmp_path):
    path = tmp_path / "flash"
    Flash.create(path, SIM.flash_size)
    folder = lay_build(tmp_path / "sim", SIM)
    with Flash(path), pytest.raises(UsageError, match="in use by another simulated board"):
        flash(SIM, f"sim:{path}", folder=folder)
    assert "4 MB" in flash(SIM, f"sim:{path}", folder=folder)


def test_a_flash_file_of_another_size_is_refused(tmp_path):
    Flash.create(tmp_path / "flash", 2 << 20)
    folder = lay_build(tmp_path / "sim", SIM)
    with pytest.raises(UsageError, match="needs a flash of 4,194,304 B"):
        flash(SIM, f"sim:{tmp_path / 'flash'}", folder=folder)


def test_flashing_keeps_the_files_unless_everything_is_erased(tmp_path):
    port, folder = f"sim:{tmp_path / 'flash'}", lay_build(tmp_path / "sim", SIM)
    flash(SIM, port, folder=folder)
    provision.provision(SIM, make(), port)
    flash(SIM, port, folder=folder)
    assert files_on((tmp_path / "flash").read_bytes(), SIM) == ["/config.json"]
    flash(SIM, port, folder=folder, erase=True)
    assert files_on((tmp_path / "flash").read_bytes(), SIM) == []


# What a board is given


def test_options_become_a_configuration():
    what = make(replace(WISH, username="u", server="10.0.0.1:1884"))
    assert json.loads(what.files["/config.json"]) == {
        "prefix": "esp32/test",
        "networks": [{"ssid": "home", "password": "wifi-secret"}],
        "broker": {
            "host": "10.0.0.1",
            "port": 1884,
            "user": "u",
            "password": "broker-secret",
            "tls": False,
        },
    }


def test_missing_options_are_named():
    with pytest.raises(UsageError, match="missing: --server, --prefix. .*--config"):
        make(Wish(ssid="home"))


def test_a_file_is_checked_and_options_lie_over_it(tmp_path):
    file = tmp_path / "board.json"
    record = {"prefix": "a", "networks": [{"ssid": "n"}], "broker": {"host": "h", "tls": False}}
    file.write_text(json.dumps(record))
    assert make(Wish(prefix="b"), config=file).config == record | {"prefix": "b"}
    file.write_text(json.dumps(record | {"networks": []}))
    with pytest.raises(UsageError, match=r"board\.json: networks is empty"):
        make(Wish(), config=file)


def test_passwords_are_asked_for_and_shown_nowhere(capsys):
    asked = []

    def secret(question):
        asked.append(question)
        return "typed secret"

    what = make(replace(WISH, username="u"), Questions(None, secret, {}))
    assert len(asked) == 2 and "home" in asked[0] and "u" in asked[1]
    assert what.config["networks"][0]["password"] == "typed secret"
    assert "typed secret" not in repr(what.notes) + repr(capsys.readouterr())


def test_without_anybody_there_the_variable_is_named():
    with pytest.raises(UsageError, match="set MQBOARD_WIFI_PASSWORD"):
        make(questions=Questions(None, None, {}))


def test_questions_are_repeated_until_there_is_an_answer():
    answers = iter(["", " ", "x"])
    assert Questions(lambda question: next(answers), None).text("Which", "--which") == "x"
    assert Questions(lambda question: "", None).text("Which", "--which", "d") == "d"
    with pytest.raises(UsageError, match="give --which"):
        NOBODY.text("Which", "--which", "d")


def self_signed(folder, name="ca", password=()):
    """Make a certificate's PEM file and its key's."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=test"]
    argv += ["-passout", "pass:secret"] if password else ["-nodes"]
    subprocess.run([*argv, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def test_certificates_go_with_it(tmp_path):
    cert, key = self_signed(tmp_path)
    what = make(replace(WISH, tls=None), ca=cert, cert=cert, key=key)
    assert what.files[boardconfig.CA_PATH] == cert.read_bytes()
    assert what.files[boardconfig.KEY_PATH] == key.read_bytes()
    broker = {"host": "10.0.0.1", "ca": boardconfig.CA_PATH}
    broker |= {"cert": boardconfig.CERT_PATH, "key": boardconfig.KEY_PATH}
    assert what.config["broker"] == broker and what.notes == []


def test_no_tls_is_said_and_never_silent(tmp_path):
    assert "Without TLS" in make().notes[0]
    with pytest.raises(UsageError, match=r"broker\.ca is missing.*--ca.*--no-tls"):
        make(replace(WISH, tls=None))
    file = tmp_path / "board.json"
    file.write_text(json.dumps({"broker": {"host": "h", "verify": False}}))
    assert "anybody" in make(replace(WISH, tls=None, server=None), config=file).notes[0]


def test_a_file_that_a_board_cannot_keep_is_named(tmp_path):
    cert, _ = self_signed(tmp_path)
    cert.write_bytes(cert.read_bytes() * 4)
    assert "ca.pem has" in make(replace(WISH, tls=None), ca=cert).notes[0]


def test_a_configuration_that_a_board_cannot_keep_is_named(tmp_path):
    file = tmp_path / "board.json"
    for more in (0, 1):
        file.write_text(json.dumps({"modules": {"m": {"k": ""}}}))
        size = len(make(config=file).files["/config.json"])
        text = "x" * (MAX_KEPT - size + more)
        file.write_text(json.dumps({"modules": {"m": {"k": text}}}))
        named = [note for note in make(config=file).notes if "/config.json has" in note]
        assert len(named) == more


def test_a_certificate_needs_its_own_open_key(tmp_path):
    cert, key = self_signed(tmp_path)
    with pytest.raises(UsageError, match="--cert and --key"):
        make(cert=cert)
    with pytest.raises(UsageError, match="not a certificate and its key"):
        make(cert=cert, key=self_signed(tmp_path, "other")[1])
    with pytest.raises(UsageError, match="has a password"):
        make(cert=cert, key=self_signed(tmp_path, "locked", "secret")[1])
    with pytest.raises(UsageError, match="cannot be read"):
        make(cert=cert, key=tmp_path / "nothing")


@pytest.mark.parametrize("data", [b"", b"no PEM", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nx"])
def test_what_is_no_certificate_is_refused(tmp_path, data):
    (tmp_path / "ca.pem").write_bytes(data)
    with pytest.raises(UsageError, match=r"ca\.pem"):
        make(ca=tmp_path / "ca.pem")


# Onto a chip


def test_a_board_gets_firmware_and_configuration_at_once(chip, built):
    said = provision.provision(ESP32, make(), chip.port, firmware=Firmware.load(ESP32, built))
    assert files_on(chip.flash) == ["/config.json"]
    assert chip.flash[0x1000:0x1004] == b"boot"
    assert "esp32 1.2.3 and a filesystem with /config.json for esp32/test" in said


def test_a_configuration_on_a_chip_is_not_lost_unasked(chip, built):
    flash(ESP32, chip.port, folder=built)
    provision.provision(ESP32, make(), chip.port)
    before = bytes(chip.flash)
    with pytest.raises(FilesThere, match="/config.json. They would be lost; --force"):
        provision.provision(ESP32, make(), chip.port)
    assert bytes(chip.flash) == before
    provision.provision(ESP32, make(replace(WISH, prefix="new")), chip.port, force=True)
    assert b'"new"' in chip.flash


def test_a_chip_with_other_partitions_is_refused(chip):
    with pytest.raises(UsageError, match="does not have the partitions of board esp32"):
        provision.provision(ESP32, make(), chip.port, force=True)


def test_the_board_itself_as_its_broker_is_refused():
    with pytest.raises(UsageError, match="the board itself"):
        provision.provision(ESP32, make(replace(WISH, server="127.0.0.1")), "P")


def test_somebody_may_give_up_the_files():
    calls = []

    def write(force):
        calls.append(force)
        if not force:
            raise FilesThere("It has files.")
        return "done"

    assert replacing(write, False, Questions(lambda question: "y", None)) == "done"
    assert calls == [False, True]
    with pytest.raises(FilesThere):
        replacing(write, False, Questions(lambda question: "", None))
    with pytest.raises(FilesThere):
        replacing(write, False, NOBODY)


def test_a_factory_gets_a_file_only_its_owner_reads(tmp_path, built):
    file = tmp_path / "vfs.bin"
    said = write_file(ESP32, make(), file)
    assert "esptool write-flash 0x310000" in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"wifi-secret" in file.read_bytes()
    whole = tmp_path / "all.bin"
    assert "write-flash 0x1000 " in write_file(
        ESP32, make(), whole, firmware=Firmware.load(ESP32, built)
    )
    assert files_on(b"\xff" * 0x1000 + whole.read_bytes()) == ["/config.json"]
    with pytest.raises(UsageError, match="cannot be written"):
        write_file(ESP32, make(), tmp_path / "missing" / "vfs.bin")


def test_the_task_prints_no_password(tmp_path, monkeypatch):
    out = io.StringIO()
    options = {"output": str(tmp_path / "o.bin"), "questions": NOBODY}
    usb.run_provision("esp32", "", WISH, Console(file=out), **options)
    assert "secret" not in out.getvalue()
    with pytest.raises(UsageError, match="one of the two"):
        usb.run_provision("esp32", "P", WISH, Console(file=out), **options)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-m invoke flash --board sim --baud 9600 --erase", "flash: sim is a simulated board"),
        ("-m invoke monitor --port sim:x", "monitor: sim:x is a simulated board"),
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


# Monitor


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
    with pytest.raises(UsageError, match="invoke sim --flash x"):
        monitor("sim:x")
    with pytest.raises(UsageError, match="There is no port /nowhere"):
        monitor("/nowhere")
    assert command("P")[-2:] == ["P", "115200"]


# Adopt


def test_adopting_asks_for_the_broker_before_it_flashes(tmp_path):
    adoption = Adoption("sim", f"sim:{tmp_path / 'flash'}", WISH, folder=lay_build(tmp_path, SIM))
    settings = Settings(server="127.0.0.1", port=1, prefix="esp32/test")
    with pytest.raises(BrokerError):
        adopt(adoption, settings, NOBODY, Console(file=io.StringIO()))
    assert not (tmp_path / "flash").exists()


def test_adopting_asks_what_no_option_said():
    answers = iter(["home", "10.0.0.1", ""])
    questions = Questions(lambda question: next(answers), None)
    assert adopting._ask(Wish(), Settings(), questions, simulated=False) == replace(WISH, tls=None)
    settings = Settings(server="broker.lan", port=1884, tls=False)
    wish = adopting._ask(Wish(ssid="home", prefix="a"), settings, NOBODY, simulated=False)
    assert wish.server == "broker.lan:1884"
    with pytest.raises(UsageError, match="give --broker"):
        adopting._ask(Wish(ssid="home", prefix="a"), Settings(), NOBODY, simulated=False)
