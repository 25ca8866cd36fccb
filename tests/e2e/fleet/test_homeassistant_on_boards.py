"""Tests `mqboard fleet homeassistant` on a simulated board: what its device shows, an update by
Install, killed in the middle, and a restart."""

import os
import signal
from contextlib import contextmanager

import pytest
from hass import HomeAssistant

UPDATE = {"health_s": 0.5, "confirm_s": 30}


@contextmanager
def running(board, *arguments):
    """Run the command while the block does; it ends by Ctrl-C, well."""
    process = board.command("fleet", "homeassistant", *arguments)
    try:
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode in (0, -signal.SIGKILL) and not err, (process.returncode, err)
        process.said = out
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def device(board):
    status = board.wait_online()
    return "mqboard_" + status["id"]


@pytest.fixture
def board(make_board):
    made = make_board(update=UPDATE)
    made.wait_settled()
    return made


def test_install_and_restart_by_home_assistant(board, device, variant, broker):
    new = variant("9.1")
    arguments = (board.prefix, "--image", str(new.app))
    with HomeAssistant(broker.port) as hass:
        with running(board, *arguments) as process:
            hass.wait(lambda: device in hass.devices and hass.available(device), 60)
            hass.wait(lambda: hass.state(device, "uptime_s"))
            assert int(hass.state(device, "heap_free")) > 10_000
            assert -120 < int(hass.state(device, "rssi")) < 0
            assert hass.state(device, "reset_cause") == "power-on"
            assert hass.state(device, "last_reset")
            hass.wait(lambda: hass.offers_update(device))
            hass.press(device, "firmware")
            hass.wait(lambda: (hass.update(device)["update_percentage"] or 0) > 15, 60)
            os.kill(process.pid, signal.SIGKILL)
            hass.wait(lambda: not hass.available(device))
        with running(board, *arguments) as process:
            hass.wait(lambda: hass.update(device)["installed_version"].startswith("9.1 ("), 120)
            hass.wait(lambda: not hass.update(device)["in_progress"] and hass.available(device), 60)
            assert not hass.offers_update(device)
            assert board.wait_confirmed()["version"] == "9.1"
            hass.press(device, "restart")
            hass.wait(lambda: "restarted" in (hass.attributes(device)["result"] or ""), 60)
            hass.wait(lambda: hass.state(device, "reset_cause") == "reset", 60)
            progress = [one["update_percentage"] for one in hass.history[device]]
            assert len({number for number in progress if number is not None}) > 10
        assert f"{board.prefix}: restart, asked for in Home Assistant." in process.said
        code, out, err = board.mqboard("fleet", "homeassistant", board.prefix, "--remove")
        assert (code, err) == (0, "") and out == f"{board.prefix} is taken out of Home Assistant.\n"
        hass.wait(lambda: device not in hass.devices)
