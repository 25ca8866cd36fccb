"""Tests that a board of protocol 1 is managed and updated as ever, or told why it cannot be."""

import subprocess
from dataclasses import replace

import pytest
from commandline import APP, ENVIRONMENT, command_line, write_app
from oldboard import OldBoard
from pushing import interrupt, push_new

from mqhost.errors import BoardError, RefusedError
from mqhost.link.session import Session
from mqhost.update import transfer


@pytest.fixture
def board(broker, prefix):
    with OldBoard(broker.port, prefix) as running:
        yield running


@pytest.fixture
def hurried(monkeypatch):
    """Wait less for everything than the board takes, so that the host offers again meanwhile."""
    waits = {name: value for name, value in vars(transfer).items() if name.startswith("_STALL_")}
    for name in waits | {"_BUSY_PATIENCE": 0}:
        monkeypatch.setattr(transfer, name, 0.3)


def test_it_is_managed(session, board):
    assert session.request("eval", b"45+876").data == b"921"
    assert session.request_json("info")["protocol"] == 1
    assert session.status()["state"] == "online"


def test_what_it_does_not_know_is_said_with_what_to_do(session, board):
    session.status()
    with pytest.raises(BoardError) as caught:
        session.request("ls", b"/")
    assert str(caught.value).startswith(
        f"Command 'ls' not supported by the firmware of {board.prefix} (version 0.1.0, protocol 1)"
    )
    assert "mqboard ota" in str(caught.value)


@pytest.mark.parametrize("command", [("eval", "45+876"), ("info",), ("status",)])
def test_every_command_for_boards_works_on_it(broker, board, command, tmp_path):
    process = subprocess.run(
        command_line(broker.port, board.prefix, *command),
        **{"env": ENVIRONMENT, "cwd": tmp_path, "capture_output": True, "text": True},
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert ("921" if command[0] == "eval" else "0.1.0") in process.stdout


def test_the_command_line_updates_it(broker, board, tmp_path):
    line = command_line(broker.port, board.prefix, "ota", "--image", str(write_app(tmp_path)))
    process = subprocess.run(line, env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
    assert "0.1.0 → 0.2.0, confirmed in slot ota_1" in process.stdout.splitlines()[-1]


@pytest.mark.parametrize("extra", [{}, {"full": True}, {"base": b"old image"}])
def test_it_is_updated(session, board, extra):
    result = push_new(session, APP, **extra)
    assert board.image == APP
    assert (result.old_version, result.new_version, result.offers) == ("0.1.0", "0.2.0", 1)
    assert (board.scans, board.busy) == (1, 0)


def test_it_is_updated_at_a_prefix_that_its_firmware_takes_no_blocks_at(broker, settings):
    umlaut = replace(settings, prefix=f"{settings.prefix}/küche")
    with OldBoard(broker.port, umlaut.prefix) as board, Session(umlaut) as session:
        push_new(session, APP)
        assert board.image == APP


def test_an_update_cut_short_goes_on_with_what_is_missing(session, board):
    with pytest.raises(KeyboardInterrupt):
        push_new(session, APP, progress=interrupt)
    assert push_new(session, APP).blocks_sent <= 4
    assert board.image == APP


def test_lost_blocks_and_a_lost_goodbye_are_made_good(session, board, hurried):
    board.on_block = lambda number, payload: [] if number in (2, 5) else [payload]
    board.lose_installed = True
    push_new(session, APP)
    assert board.image == APP


def test_one_that_compares_for_long_is_updated(session, board, hurried):
    board.scan_seconds = 0.7  # longer than the host waits before it offers again
    push_new(session, APP)
    assert board.image == APP


def test_one_that_checks_for_long_is_updated(session, board, hurried):
    board.check_seconds = 1.5
    push_new(session, APP)
    assert board.image == APP


def test_one_that_checks_our_own_update_is_not_busy_with_anothers(session, board, hurried):
    board.slot[: len(APP)] = APP
    board.scan_seconds = 1.2
    board.check_seconds = 1.2
    push_new(session, APP)
    assert board.image == APP
    assert (board.scans, board.busy > 0) == (1, True)


def test_one_that_is_busy_with_anothers_update_is_said_to_be(session, board, hurried):
    board.refuse = 20
    with pytest.raises(RefusedError, match="busy with another update"):
        push_new(session, APP)
