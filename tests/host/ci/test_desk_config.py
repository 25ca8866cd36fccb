"""Tests the command `config` and the trial of a configuration on a whole board, on the desk."""

import asyncio
import contextlib
import hashlib
import json

import pytest

from ci.cuts.configcuts import DEAD, NEW, OLD, Change, file_of, kept_of
from ci.cuts.powercuts import Image, settled
from ci.desk import CONFIG, PREFIX, Life
from mqhost.sim.bus import Op
from mqhost.sim.esperror import NvsNotEnoughSpace
from mqwire import codes, command_topic, header, secrets
from mqwire.config import MAX_KEPT

MASK = "<secret broker.password>"


@pytest.fixture
def desk(desk):
    """Let it run with OLD."""
    desk.flash.program(desk.table.slots[0].offset, Image.make(desk, "1.0", b"x" * 4096).app)
    assert not desk.run(settled)
    change(desk, OLD)
    return desk


def change(desk, text, wish="push"):
    """Have the board change its configuration, and settle; return what it answered."""
    asked = Change(wish, text)
    if desk.run(asked):
        while desk.run(settled):
            pass
    assert desk.faults == []
    return asked.told


def get(desk, tail="get"):
    """Boot, and return what the board answers."""
    answer = bytearray()

    async def script(life: Life) -> None:
        await settled(life)
        life.tell(command_topic(PREFIX, "config", "getting", tail), header(0, True))
        start, last = 0, False
        while not last:
            reply = await life.reply("getting", start)
            start = 1 + [payload for _, payload in life.said].index(reply)
            answer.extend(reply[2:])
            last = bool(reply[0] & 0x80)

    assert not desk.run(script)
    return json.loads(answer)


def facts(desk):
    return desk.life.board.identity.facts(None)


def test_what_it_shows_has_no_secrets_and_can_be_sent_back(desk):
    told = get(desk)
    assert "a secret" not in json.dumps(told)
    assert told["config"]["broker"]["password"] == MASK
    assert (told["file"], told["state"], told["size"]) == ("same", None, len(OLD))
    told["config"]["log"] = {"level": "debug"}
    assert "window_s" in change(desk, json.dumps(told["config"]))
    assert json.loads(kept_of(desk)) == json.loads(NEW)
    assert file_of(desk) == kept_of(desk)
    assert "config" not in facts(desk)


def test_two_ends_see_whether_a_secret_is_the_same(desk):
    digests = get(desk, "get/nonce")["digests"]
    same = secrets.digest(hashlib.sha256, "nonce", "broker.password", "a secret")
    assert digests == {"broker.password": same}
    assert same != secrets.digest(hashlib.sha256, "other", "broker.password", "a secret")


def test_one_that_does_not_reach_the_broker_is_gone_back_from_and_said_why(desk):
    assert change(desk, DEAD)["window_s"] == 1
    assert (file_of(desk), kept_of(desk)) == (OLD, OLD)
    failed = facts(desk)["config"]
    assert failed["state"] == "failed" and failed["code"] == codes.NO_BROKER
    assert "did not reach its broker within 1 s" in failed["reason"]
    desk.power_on()
    desk.run(settled)
    assert facts(desk)["config"] == failed
    change(desk, NEW)
    assert "config" not in facts(desk)


def test_power_lost_on_trial_is_a_reason_too(desk):
    desk.run(Change("push", NEW))
    desk.connected = False

    async def wait(life: Life) -> None:
        assert life.board.identity.trying()

    desk.run(wait)
    desk.connected = True
    desk.power_on()
    desk.run(settled)
    assert (file_of(desk), facts(desk)["config"]["code"]) == (OLD, codes.POWER_LOST)


def test_going_back_by_command_is_tried_as_well(desk):
    change(desk, NEW)
    assert "window_s" in change(desk, "", "revert")
    assert file_of(desk) == OLD
    change(desk, "", "revert")
    assert file_of(desk) == NEW


def test_the_one_before_is_shown_without_its_secrets(desk):
    change(desk, NEW)
    told = get(desk, "previous/nonce")
    assert told["digests"] == get(desk, "get/nonce")["digests"]
    assert told["config"]["broker"]["password"] == MASK and "log" not in told["config"]
    assert "digests" not in get(desk, "previous")


def test_an_answer_that_was_lost_is_given_again_and_nothing_done(desk):
    first = change(desk, NEW)["id"]

    async def again(life: Life) -> None:
        await settled(life)
        life.tell(command_topic(PREFIX, "config", first, "push"), header(0, True) + b"{}")
        assert json.loads((await life.reply(first))[2:]) == {"id": first}

    assert not desk.run(again)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        (b"\xff", "not UTF-8"),
        ("[]", "it must be an object"),
        ("[" * 3000, "deeply"),
        (json.dumps(CONFIG | {"log": {"level": "loud"}}), "log.level is 'loud'; it must be one of"),
        (json.dumps(CONFIG | {"broker": {"host": "desk"}}), "broker.ca is missing"),
        (json.dumps(CONFIG | {"broker": {"host": "h", "ca": "/ca.pem"}}), "/ca.pem, and there is"),
        (OLD.replace("a secret", "<secret broker.pasword>"), "which the board has not"),
        (json.dumps(CONFIG | {"modules": {"m": "x" * MAX_KEPT}}), "4000 are the most"),
    ],
)
def test_what_cannot_be_good_is_refused_and_nothing_changes(desk, text, reason):
    class Raw(str):
        def encode(self, *_):
            return text if isinstance(text, bytes) else str.encode(text)

    told = change(desk, Raw())
    assert reason in told["refused"]
    assert (file_of(desk), kept_of(desk)) == (OLD, OLD)


def test_without_memory_it_is_taken_the_second_time(desk, monkeypatch):
    tries = []

    def fill_in(text, *_):
        tries.append(text)
        if len(tries) < 2:
            raise MemoryError
        return text

    async def push(life: Life) -> None:
        import mqwire.secrets

        monkeypatch.setattr(mqwire.secrets, "fill_in", fill_in)
        monkeypatch.setattr(life.router, "_make_room", lambda _: True)
        await Change("push", NEW)(life)

    assert desk.run(push)
    desk.run(settled)
    assert (tries, kept_of(desk)) == ([NEW, NEW], NEW)


def test_without_memory_for_the_answer_it_is_tried_all_the_same(desk):
    async def push(life: Life) -> None:
        await settled(life)
        publish = life.router.publish

        async def forget(topic, *rest):
            if "/reply/out/" in topic:
                raise MemoryError
            await publish(topic, *rest)

        life.router.publish = forget
        life.tell(
            command_topic(PREFIX, "config", "unheard", "push"), header(0, True) + NEW.encode()
        )
        await asyncio.wait_for(life.over.wait(), 100)  # of board time

    assert desk.run(push)
    desk.run(settled)
    assert kept_of(desk) == NEW


def test_unknown_keys_are_no_reason_to_refuse(desk):
    told = change(desk, json.dumps(CONFIG | {"from_the_future": 1}))
    assert "window_s" in told and told["unknown"] == ["from_the_future"]


def test_a_board_that_restarted_since_is_asked_again(desk):
    assert "restarted" in change(desk, NEW, "push/other boot")["refused"]


def test_no_update_and_no_configuration_are_taken_while_one_is_tried(desk):
    async def script(life: Life) -> None:
        life.tell(command_topic(PREFIX, "config", "c", "push"), header(0, True) + OLD.encode())
        assert "not confirmed yet" in json.loads((await life.reply("c"))[2:])["refused"]
        image = Image.make(desk, "2.0", b"y" * 4096)
        life.tell(command_topic(PREFIX, "update", "u"), header(0, True) + image.request())
        assert (await life.reply("u"))[2] == codes.UNCONFIRMED

    desk.run(Change("push", NEW))
    desk.healthy = False
    assert not desk.run(script)


def test_a_change_without_anything_to_go_back_to_is_refused(desk):
    async def script(life: Life) -> None:
        await settled(life)
        life.board.config.kept = False
        asked = Change("push", NEW)
        await asked(life)
        assert "could not go back" in asked.told["refused"]

    assert not desk.run(script)


def refuse(desk, monkeypatch, keys=b""):
    """Have NVS take no value whose key begins with `keys`."""
    handle = desk.chip.handle

    def handled(request, data):
        if request.op is Op.NVS_SET and data.startswith(b"mqboard\0" + keys):
            raise NvsNotEnoughSpace
        return handle(request, data)

    monkeypatch.setattr(desk.chip, "handle", handled)


def test_an_nvs_that_is_full_takes_nothing_new(desk, monkeypatch):
    refuse(desk, monkeypatch)
    assert "cannot be stored" in change(desk, NEW)["refused"]
    monkeypatch.undo()
    desk.run(settled)
    assert file_of(desk) == OLD


def test_what_cannot_be_kept_as_the_last_good_one_is_gone_back_from(desk, monkeypatch):
    desk.run(Change("push", NEW))
    refuse(desk, monkeypatch, b"config\0")
    while desk.run(settled):
        pass
    assert (file_of(desk), kept_of(desk)) == (OLD, OLD)
    assert "cannot be kept in NVS" in facts(desk)["config"]["reason"]


def fill(desk):
    """Leave no room in the filesystem; return the paths of what fills it."""
    desk.end = None
    paths = []
    for _ in range(2):  # what a failed write had taken is free after mounting anew
        desk.files.mount()
        size = 64 * 4096
        while size >= 64:
            paths.append(f"/filler{len(paths)}")
            try:
                with desk.files.open(paths[-1], "w") as file:
                    file.write("x" * size)
            except OSError:
                size //= 2
    return paths


def test_a_full_filesystem_takes_nothing_new_and_leaves_nothing_behind(desk):
    fill(desk)
    assert "cannot be stored" in change(desk, NEW)["refused"]
    assert (file_of(desk), kept_of(desk)) == (OLD, OLD)
    with pytest.raises(OSError):
        desk.files.open("/config.json.new")


def test_a_file_that_cannot_be_written_back_is_not_used_and_is_when_there_is_room(desk):
    desk.run(Change("push", DEAD))
    paths = fill(desk)
    while desk.run(settled):
        pass
    assert facts(desk)["config"]["code"] == codes.NO_BROKER
    assert (file_of(desk), kept_of(desk)) == (DEAD, OLD)
    desk.run(settled)
    for path in paths:
        with contextlib.suppress(OSError):
            desk.files.os().remove(path)
    desk.power_on()
    desk.run(settled)
    assert (file_of(desk), kept_of(desk)) == (OLD, OLD)
