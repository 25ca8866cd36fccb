"""Tests provisioning: a checked configuration, no file lost unasked, no password shown."""

import json
import re
import stat
import subprocess
from dataclasses import replace

import pytest
from chipbuild import ESP32, WISH, files_on, lay_build, make

from mqhost.cli.terminal.questions import Questions
from mqhost.errors import UsageError
from mqhost.link import boardconfig
from mqhost.link.boardconfig import Wish
from mqhost.usb import provision
from mqhost.usb.flashing import Firmware, flash
from mqhost.usb.provision import FilesThere, write_file
from mqwire.config import MAX_KEPT

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


def test_a_pre_shared_key_is_asked_for_and_stands_in_place_of_certificates():
    asked = []

    def secret(question):
        asked.append(question)
        return "00" * 16

    what = make(replace(WISH, tls=None, psk="pump"), Questions(None, secret, {}))
    assert what.config["broker"]["psk"] == {"identity": "pump", "key": "00" * 16}
    assert "tls" not in what.config["broker"] and list(what.files) == ["/config.json"]
    assert "pump" in asked[-1] and what.notes == []
    with pytest.raises(
        UsageError, match=r"broker\.psk\.key cannot be so: it must be 32 to 64 hexa"
    ):
        make(replace(WISH, tls=None, psk="pump"), Questions(None, lambda _: "short", {}))


def test_modules_that_the_firmware_has_frozen_start_if_no_others_are_named(tmp_path):
    frozen = {"pump": {"pin": 4}}
    assert make(modules=frozen).config["modules"] == frozen
    assert "modules" not in make().config
    path = tmp_path / "board.json"
    path.write_text(json.dumps(make().config | {"modules": {"fan": {}}}))
    assert make(config=path, modules=frozen).config["modules"] == {"fan": {}}
    folder = lay_build(tmp_path / "built", ESP32, application=frozen)
    assert Firmware.load(ESP32, folder).modules == frozen


def test_missing_options_are_named():
    with pytest.raises(UsageError, match="missing: --server, --prefix. .*--config"):
        make(Wish(ssid="home"))


def test_a_file_is_checked_and_options_lie_over_it(tmp_path):
    file = tmp_path / "board.json"
    record = {"prefix": "a", "networks": [{"ssid": "n"}], "broker": {"host": "h", "tls": False}}
    file.write_text(json.dumps(record))
    assert make(Wish(prefix="b"), config=file).config == record | {"prefix": "b"}
    file.write_text(json.dumps(record | {"networks": []}))
    with pytest.raises(UsageError, match=r"board\.json: networks has none in it"):
        make(Wish(), config=file)


def test_a_setup_network_has_a_password_of_its_own_and_needs_nothing_else(tmp_path):
    made = [make(Wish(), setup=True) for _ in range(2)]
    keys = [what.config["setup"]["password"] for what in made]
    assert keys[0] != keys[1]
    assert all(re.fullmatch(r"([a-z2-9]{4}-){2}[a-z2-9]{4}", key) for key in keys)
    assert set(made[0].config) == {"setup"}
    assert made[0].setup_key == keys[0]
    assert made[0].purpose == "its setup network"
    assert not made[0].notes

    what = make(WISH, setup=True)  # with all else, it stays for later
    assert what.purpose == "esp32/test" and what.setup_key

    file = tmp_path / "factory.json"
    file.write_text(json.dumps({"setup": {"password": "from a file", "after_s": 600}}))
    assert make(Wish(), config=file, setup=True).setup_key == "from a file"
    file.write_text(json.dumps({"setup": {"password": "short"}}))
    with pytest.raises(UsageError, match=r"setup\.password cannot be so: it must have 8 to 63"):
        make(Wish(), config=file, setup=True)


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
