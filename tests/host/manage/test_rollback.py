"""Tests the way back to the other slot: what a board on the desk does, and what the tool says."""

import asyncio
import json

import pytest
from commandline import command_line, here

from ci.cuts.powercuts import Image, Push, settled
from ci.desk import CONFIG, PREFIX, Life
from mqhost.errors import RefusedError
from mqhost.manage.rollback import roll_back
from mqhost.update.failures import RolledBack
from mqwire import command_topic, header
from mqwire.codes import UNHEALTHY


@pytest.fixture
def old(desk):
    """Give the board the image that it boots; it may be rolled back to."""
    image = Image.make(desk, "1.0", b"old" * 4096)
    desk.flash.program(desk.table.slots[0].offset, image.app)
    allow(desk)
    return image


@pytest.fixture
def new(desk, old):
    """Update the board to another image, which it confirms."""
    image = Image.make(desk, "2.0", b"new" * 4096)
    assert desk.run(Push(image, lambda: None))
    desk.run(settled)
    assert runs(desk) == ("2.0", "valid")
    return image


def allow(desk, **update):
    changes = {"allow_rollback": True} | update
    desk.configure(CONFIG | {"update": CONFIG["update"] | changes})


def runs(desk):
    me = desk.life.board.identity
    return me.version, me.slot_state


def command(desk, body=b'{"force": true}'):
    """Send the command to the settled board; return its answer."""
    answers = []

    async def script(life: Life) -> None:
        await settled(life)
        life.tell(command_topic(PREFIX, "rollback", "backback"), header(0, True) + body)
        answers.append(json.loads((await life.reply("backback"))[2:]))
        if "refused" not in answers[0]:
            await asyncio.sleep(1000)  # it resets

    reset = desk.run(script)
    assert not desk.faults, desk.console.getvalue()
    assert reset == ("refused" not in answers[0])
    return answers[0]


def test_the_other_slot_is_tried_and_confirmed_like_an_update(desk, old, new):
    assert command(desk) == {"image": old.offer.sha256, "version": "1.0", "seq": 1}
    desk.run(settled)
    assert runs(desk) == ("1.0", "valid")
    assert desk.life.board.identity.oldest == 2  # as an update it would still be refused
    assert desk.life.board.identity.failed is None
    assert command(desk, b"")["version"] == "2.0"  # and forth, for which no force is needed


def test_what_does_not_prove_good_again_is_left_again(desk, old, new):
    command(desk)
    desk.healthy = False
    assert desk.run(settled)
    desk.healthy = True
    desk.run(settled)
    assert runs(desk) == ("2.0", "valid")
    failed = desk.life.board.identity.failed
    assert (failed["image"], failed["code"]) == (old.offer.sha256, UNHEALTHY)
    assert "did not prove good: it is aborted" in command(desk)["refused"]


def test_below_the_highest_seq_it_takes_force_and_the_configuration(desk, old, new):
    assert "it takes --force" in command(desk, b"{}")["refused"]
    allow(desk, allow_rollback=False)
    assert "update.allow_rollback" in command(desk)["refused"]
    allow(desk, allow_rollback=False, allow_downgrade=True)
    assert command(desk, b"{}")["version"] == "1.0"


def test_an_empty_slot_is_nothing_to_go_back_to(desk, old):
    assert "no image in the other slot" in command(desk)["refused"]


def test_an_image_that_was_written_but_never_confirmed_is_none(desk, old, new):
    other = Image.make(desk, "3.0", b"other" * 2048)
    slot = desk.table.slots[0]
    desk.flash.erase(slot.offset, slot.size)
    desk.flash.program(slot.offset, other.app)
    assert "never confirmed here" in command(desk)["refused"]


def test_a_damaged_image_is_not_booted(desk, old, new):
    desk.flash.program(desk.table.slots[0].offset + 8192, bytes(64))  # an update broken off
    assert "is damaged" in command(desk)["refused"]
    desk.run(settled)
    assert runs(desk) == ("2.0", "valid")
    assert desk.life.board.identity.failed is None


@pytest.mark.parametrize("body", [b"[]", b"\xff", b"{", b"[" * 5000, b"null"])
def test_options_that_are_none_are_an_error(desk, old, new, body):
    async def script(life: Life) -> None:
        await settled(life)
        life.tell(command_topic(PREFIX, "rollback", "backback"), header(0, True) + body)
        with pytest.raises(RuntimeError, match="no JSON object"):
            await life.reply("backback")

    assert not desk.run(script)
    assert not desk.faults


def test_a_power_cut_anywhere_leaves_one_image_or_the_other(desk, old, new):
    flash = desk.flash.snapshot()
    before = desk.flash.counters.operations
    command(desk)
    desk.run(settled)
    operations = desk.flash.counters.operations - before
    ends = set()
    for at in range(operations):
        desk.flash.restore(flash)
        desk.power_on()
        desk.flash.cut_power_after(at, 0.5)
        try:
            command(desk)
            desk.run(settled)
        except (AssertionError, IndexError):
            pass  # no answer came, for want of power
        desk.power_on()
        while desk.run(settled):
            pass
        ends.add(runs(desk))
    assert operations > 5
    assert ends == {("1.0", "valid"), ("2.0", "valid")}


# The tool.


@pytest.fixture
def answer(board):
    """Have the fake board answer a rollback with `answer["with"]`, and restart into that image."""
    found = {"with": {"image": "ab" * 32, "version": "0.0.9", "seq": 1}, "bodies": []}

    def _do_rollback(ident, body):
        found["bodies"].append(json.loads(body))
        board.reply(ident, json.dumps(found["with"]).encode())
        if "refused" not in found["with"]:
            offer = {"version": "0.0.9", "sha256": found["with"]["image"]}
            board._restart(b"", offer)

    board._do_rollback = _do_rollback
    board.status = lambda status=board.status: (
        status() | ({"image": "ab" * 32} if board.facts["version"] == "0.0.9" else {})
    )
    return found


def test_the_tool_waits_until_it_is_confirmed(session, board, answer):
    stages = []
    done = roll_back(session, force=True, report=stages.append)
    assert (done.old_version, done.version, done.slot) == ("0.1.0", "0.0.9", "ota_1")
    assert stages[0] == "restart"  # "confirm" too, if we saw it on trial
    assert answer["bodies"] == [{"force": True}]


def test_what_the_board_says_against_it_is_told(session, board, answer):
    answer["with"] = {"refused": "there is no image in the other slot"}
    with pytest.raises(RefusedError, match="stays as it is: there is no image in the other slot."):
        roll_back(session)


def test_a_board_that_is_back_with_what_it_ran_has_rolled_back(session, board, answer):
    board.outcome = "rolled back"
    with pytest.raises(RolledBack, match="The board runs 0.1.0 again"):
        roll_back(session)


def test_the_command_says_what_runs_now(broker, board, answer, capsys):
    line = command_line(broker.port, board.prefix, "rollback")
    process = here(capsys, line)
    assert process.returncode == 0, process.stderr
    assert "is back at 0.0.9 in slot ota_1, confirmed, after" in process.stdout
    answer["with"] = {"refused": "no"}
    process = here(capsys, line)
    assert process.returncode == 5


def test_old_firmware_is_told_to_be_updated(broker, board, capsys):
    line = command_line(broker.port, board.prefix, "rollback", "--json")
    process = here(capsys, line)
    assert process.returncode == 1 and "older than this tool" in process.stderr
