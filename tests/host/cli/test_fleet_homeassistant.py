"""Tests `mqboard fleet homeassistant`: what it refuses, what it says, and how it ends."""

import json
import signal
import subprocess

import pytest
from commandline import APP, ENVIRONMENT, command_line, here, write_app
from fakeboard import FakeBoard
from hass import HomeAssistant
from pushing import offer_for
from signed import write_image

from mqhost.sim.broker import free_port


@pytest.fixture
def board(broker, prefix):
    made = FakeBoard(broker.port, prefix)
    made.facts |= {"id": "a1b2c3d4e5f6", "rssi": -61}
    with made:
        yield made


@pytest.fixture
def call(broker, capsys, tmp_path, monkeypatch):
    """Give call(*arguments) -> how the command ends."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        words = ("fleet", "homeassistant", *map(str, arguments))
        return here(capsys, command_line(broker.port, None, *words))

    return run


def test_which_boards_must_be_said(call):
    for words in ((), ("--remove",)):
        ended = call(*words)
        assert ended.returncode == 2 and "Which boards?" in ended.stderr


def test_images_are_one_for_each_type(call, tmp_path):
    first = write_app(tmp_path)
    other = write_image(tmp_path / "other", APP + b"x", offer_for(APP + b"x"))
    ended = call("#", "--image", first, "--image", other)
    assert ended.returncode == 2 and "Two images are for board sim" in ended.stderr
    ended = call("#", "--image", tmp_path / "none.bin")
    assert ended.returncode == 2 and "is missing" in ended.stderr


def test_what_home_assistant_would_not_take_is_refused(call):
    ended = call("#", "--release-url", "notes.html")
    assert ended.returncode == 2 and "is no page" in ended.stderr
    ended = call("#", "--discovery-prefix", "home/#")
    assert ended.returncode == 2 and "is no discovery prefix" in ended.stderr


def test_a_fact_that_there_is_not_is_told(call, board):
    ended = call(board.prefix, "--where", "moed==safe")
    assert ended.returncode == 2 and "Did you mean mode?" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_it_is_told_to_end_and_says_goodbye(broker, board, tmp_path, call, number):
    image = write_app(tmp_path)
    words = ("fleet", "homeassistant", board.prefix, "--image", str(image))
    line = command_line(broker.port, None, *words)
    device = "mqboard_a1b2c3d4e5f6"
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with (
        HomeAssistant(broker.port) as hass,
        subprocess.Popen(line, env=ENVIRONMENT, cwd=tmp_path, **options) as process,
    ):
        try:
            hass.wait(lambda: device in hass.devices and hass.available(device), 60)
            hass.press(device, "firmware")
            hass.wait(lambda: hass.update(device).get("installed_version", "").startswith("0.2"))
            hass.wait(lambda: "confirmed" in (hass.attributes(device)["result"] or ""))
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
        bridge = f"mqboard/{hass.discovery}/bridge"
        hass.wait(lambda: json.loads(hass._retained[bridge])["state"] == "offline")
        lines = out.splitlines()
        assert lines[0].startswith("1 board for Home Assistant, by its discovery prefix")
        assert lines[1] == f"{board.prefix}: install, asked for in Home Assistant."
        assert lines[2].startswith(f"{board.prefix}: 0.1.0 → 0.2.0, confirmed after ")
        assert process.returncode in (0, 130, 143), err
        assert "Traceback" not in err
        ended = call(board.prefix, "--remove")
        assert ended.stdout == f"{board.prefix} is taken out of Home Assistant.\n"
        ended = call(board.prefix, "--remove")
        assert (ended.returncode, ended.stdout) == (
            0,
            "None of these boards was in Home Assistant.\n",
        )


def test_the_server_shows_boards_beside_the_page_and_audits_what_is_pressed(
    broker, board, tmp_path, call, capsys
):
    image = write_app(tmp_path)
    environment = ENVIRONMENT | {"XDG_STATE_HOME": str(tmp_path / "state")}
    words = ("fleet", "serve", "--listen", f"127.0.0.1:{free_port()}")
    more = ("--homeassistant", board.prefix, "--image", str(image))
    line = command_line(broker.port, None, *words, *more)
    device = "mqboard_a1b2c3d4e5f6"
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with (
        HomeAssistant(broker.port) as hass,
        subprocess.Popen(line, env=environment, cwd=tmp_path, **options) as process,
    ):
        try:
            hass.wait(lambda: device in hass.devices and hass.available(device), 60)
            hass.press(device, "firmware")
            hass.wait(lambda: "confirmed" in (hass.attributes(device)["result"] or ""))
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        finally:
            process.kill()
    hass.wait(lambda: not hass.available(device))
    audit = command_line(broker.port, None, "fleet", "audit", "--json")
    ended = subprocess.run(audit, env=environment, capture_output=True, text=True, timeout=60)
    (entry,) = [one for one in json.loads(ended.stdout) if one["who"] == "homeassistant"]
    assert (entry["board"], entry["what"]) == (board.prefix, "install")
    assert "0.1.0 → 0.2.0, confirmed" in entry["result"]
    call(board.prefix, "--remove")


def test_an_image_for_the_server_is_for_home_assistant(broker, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    image = write_app(tmp_path)
    line = command_line(broker.port, None, "fleet", "serve", "--image", str(image))
    ended = here(capsys, line)
    assert ended.returncode == 2 and "--homeassistant, too" in ended.stderr
