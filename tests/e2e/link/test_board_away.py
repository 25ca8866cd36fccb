"""Tests what somebody reads whose board is away, and that one which restarts gets the command."""

import pytest

from mqhost.cli.main import main
from mqhost.link.session import Session


@pytest.fixture
def mqboard(board, capsys, monkeypatch, tmp_path):
    """Give mqboard(*words) -> (exit code, stdout, stderr), with nothing said of a timeout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MQBOARD_TIMEOUT", raising=False)
    broker = ["--server", board.broker.host, "--port", str(board.broker.port), "--no-tls"]

    def run(*words, prefix=board.prefix):
        code = main([*broker, "--prefix", prefix, *words])
        return code, *capsys.readouterr()

    return run


def test_a_board_without_power_is_told_to_be_offline_and_a_typo_what_is_near(board, mqboard):
    code, out, err = mqboard("eval", "1", prefix=f"{board.prefix}0x")
    assert (code, out) == (4, "")
    assert f"No board has announced itself at {board.prefix}0x. Do you mean " in err
    assert board.prefix in err.partition("mean")[2]
    with board.session() as session:
        board.device.stop()
        assert session.wait_status(lambda status: status["state"] == "offline", 60)
    code, out, err = mqboard("eval", "1")
    assert (code, out) == (4, "")
    assert err.startswith(f"{board.prefix} is offline (connection lost). Check its power and net")


def test_a_board_that_restarts_gets_the_command_when_it_is_back(board):
    with board.session() as session:
        session.request("reset")
        assert session.wait_status(lambda status: status["state"] == "offline", 60)
    notes = []
    with Session(board.settings(timeout=60, patient=False), note=notes.append) as session:
        assert session.request("eval", b"45+876").data == b"921"
    # A board that is back by now has nothing to be told of.
    assert all("(reset command). Waiting for it, up to 60 s." in note for note in notes)
