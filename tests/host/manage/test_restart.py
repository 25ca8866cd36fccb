"""Tests restarts from afar against the fake board: into which mode, and what if it is another."""

import json

import pytest
from commandline import command_line, here

import mqwire
from mqhost.errors import BoardError, RefusedError, SilentBoardError
from mqhost.manage.restart import AS_IS, SAFE, restart


@pytest.fixture
def mqboard(broker, prefix, capsys):
    def run(*arguments):
        return here(capsys, command_line(broker.port, prefix, *arguments))

    return run


@pytest.mark.parametrize("mode", ["safe", "normal"])
def test_the_board_is_waited_for_and_says_its_mode(session, board, mode):
    board.facts["id"] = "a1"
    back = restart(session, mode, 10)
    assert (back.status["mode"], back.status["reset_cause"]) == (mode, "reset")
    assert back.status["boot_id"] == "boot-2"
    assert 0 < back.seconds < 10


def test_a_plain_reset_works_with_any_firmware(session, board):
    assert restart(session, AS_IS, 10).status["mode"] == "normal"


def test_firmware_that_knows_no_modes_is_not_reset_into_the_wrong_one(session, board):
    with pytest.raises(RefusedError, match="knows no modes; nothing was sent"):
        restart(session, SAFE, 10)
    assert board.boots == 1


def test_a_board_that_has_no_memory_for_an_answer_can_be_restarted(session, board):
    board._do_info = lambda ident, body: board.error(ident, "MemoryError: not enough memory")
    assert restart(session, AS_IS, 10).status["boot_id"] == "boot-2"
    with pytest.raises(BoardError, match="MemoryError"):
        restart(session, SAFE, 10)


def test_a_board_that_does_not_come_back_is_silent(session, board):
    board.outcome = "never back"
    with pytest.raises(SilentBoardError, match="not come back within 0.5 s"):
        restart(session, AS_IS, 0.5)


def test_another_mode_than_that_asked_for_is_an_error(session, board):
    board.facts["id"] = "a1"
    board.outcome = "ignored"
    with pytest.raises(BoardError, match="in normal mode, not in safe mode; version 0.1.0"):
        restart(session, SAFE, 10)


def test_firmware_on_trial_is_not_sent_away_by_a_restart(session, board):
    board.facts["slot_state"] = "pending"
    with pytest.raises(RefusedError, match="has not confirmed .* Nothing was sent"):
        restart(session, AS_IS, 10)
    assert board.boots == 1


@pytest.mark.parametrize("what", ["config", "app"])
def test_what_is_on_trial_is_not_sent_away_either(session, board, what):
    board.facts[what] = {"id": "a", "state": "trial"}
    with pytest.raises(RefusedError, match="has not confirmed its new .* Nothing was sent"):
        restart(session, AS_IS, 10)
    board.facts[what]["state"] = "confirmed"
    restart(session, AS_IS, 10)
    assert board.boots == 2


def test_a_stale_status_is_not_taken_for_the_board_that_is_back(session, board):
    """The broker may still have the status of a boot before the one that runs."""
    with session._changed:
        session._status = board.status() | {"boot_id": "boot-0"}
    assert restart(session, AS_IS, 10).status["boot_id"] == "boot-2"


def test_the_command_says_how_it_is(mqboard, board):
    board.facts["id"] = "a1"
    process = mqboard("reset", "--safe")
    assert (process.returncode, process.stderr) == (0, "")
    assert "is back in safe mode after" in process.stdout
    assert "(reset cause reset): 0.1.0 in ota_0." in process.stdout
    assert "--normal" not in process.stdout
    assert mqboard("reset").stdout.endswith("reset --normal leaves it.\n")
    record = json.loads(mqboard("reset", "--normal", "--json").stdout)
    assert record["mode"] == "normal" and record["seconds"] > 0


def test_a_board_starts_in_one_mode(mqboard, board):
    process = mqboard("reset", "--safe", "--normal")
    assert process.returncode == 2 and "--safe or --normal?" in process.stderr
    assert board.boots == 1


def test_the_bootloader_wants_somebody_there(mqboard, board):
    process = mqboard("reset", "--bootloader")
    assert process.returncode == 2 and "--yes" in process.stderr
    assert board.boots == 1
    board.facts["id"] = "a1"
    board.outcome = "never back"
    process = mqboard("reset", "--bootloader", "--yes")
    assert process.returncode == 0 and "USB" in process.stdout


def test_a_chip_that_has_no_bootloader_to_start_refuses(mqboard, board):
    board.facts["id"] = "a1"

    def answer(command, ident, body):
        if command == "reset":
            text = mqwire.REFUSED + "this chip cannot"
            yield mqwire.error_topic(board.prefix, ident), text.encode()
        else:
            told = json.dumps(board.status()).encode()
            yield mqwire.reply_topic(board.prefix, ident), mqwire.SINGLE + told

    board.answer = answer
    process = mqboard("reset", "--bootloader", "--yes")
    assert process.returncode == 5
    assert process.stderr == f"{board.prefix} refused: this chip cannot\n"
