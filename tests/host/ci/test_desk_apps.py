"""Tests the commands `deploy` and `apps` and the trial of an application on a board on the desk."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ci.cuts.deploycuts import App, Deploy, files_of, put
from ci.cuts.powercuts import Image, settled
from ci.desk import CONFIG, PREFIX, Life, filesystem
from mqhost.link.exchange import split
from mqhost.signing.keys import SigningKey
from mqhost.sim.chip import ResetCause
from mqwire import codes, command_topic

FILES = {"pump.py": b"a = 1\n", "lib/deep/er.py": b"b = 2\n", "empty.bin": b""}


@pytest.fixture
def desk(desk):
    """Give it firmware, and let it settle."""
    desk.flash.program(desk.table.slots[0].offset, Image.make(desk, "1.0", b"x" * 4096).app)
    assert not desk.run(settled)
    return desk


def make(desk, seq=1, content=FILES, **changes):
    return App.make(desk, seq, content, **{"committed": True} | changes)


def deploy(desk, app, **options):
    """Deploy, and let the board settle; return what it answered last."""
    asked = Deploy(desk, app, options)
    if desk.run(asked):
        while desk.run(settled):
            pass
    assert desk.faults == []
    return asked.told


def ask(desk, command, body):
    """Boot, and return what the board answers to one command."""
    told = []

    async def script(life: Life) -> None:
        await settled(life)
        start = len(life.said)
        for message in split(body):
            life.tell(command_topic(PREFIX, command, "anybody"), message)
        told.append(json.loads((await life.reply("anybody", start))[2:]))

    desk.run(script)
    assert desk.faults == []
    return told[0]


def offer(desk, app, key, **options):
    """Put the manifest on the board that is off, and offer the application; return the answer."""
    desk.end = None
    desk.files.mount()
    put(desk, f"/apps/{options.get('id', app.id)}.json", app.manifest)
    return ask(desk, "deploy", app.request(key, **options))


def facts(desk):
    return desk.life.board.identity.facts(None)


def folders(desk):
    """Return the names in /apps."""
    desk.end = None
    desk.files.mount()
    try:
        return sorted(desk.files.os().listdir("/apps"))
    except OSError:
        return []


def test_a_board_without_an_application_says_nothing_of_it(desk):
    assert "app" not in facts(desk)
    told = ask(desk, "apps", b"")
    assert (told["now"], told["before"], told["state"]) == (None, None, "none")


def test_an_application_runs_with_its_files_and_modules(desk):
    app = make(desk, modules={"pump": {"pin": 2}})
    assert deploy(desk, app)["window_s"] == 1
    told = {"state": "confirmed", "id": app.id, "name": "desk", "version": "1"}
    assert facts(desk)["app"] == told
    settings = desk.life.board.config
    assert (settings.app, settings.modules) == (f"/apps/{app.id}", {"pump": {"pin": 2}})
    assert files_of(desk, settings.app) == FILES
    assert ask(desk, "apps", b"{}")["now"]["id"] == app.id
    assert deploy(desk, app) == {"id": app.id, "running": True}


def test_the_configuration_has_the_last_word_on_settings(desk):
    desk.configure(CONFIG | {"modules": {"pump": {"pin": 7}, "other": {}, "plain": 5}})
    defaults = {"pump": {"pin": 2, "speed": 3}, "plain": {"x": 1}, "more": None}
    deploy(desk, make(desk, modules=defaults))
    assert desk.life.board.config.modules == {
        "pump": {"pin": 7, "speed": 3},
        "other": {},
        "plain": 5,
        "more": None,
    }


def test_what_the_running_one_has_is_not_asked_for_again(desk):
    deploy(desk, make(desk))
    newer = make(desk, 2, FILES | {"moved/pump.py": FILES["pump.py"], "new.py": b"new"})
    told = offer(desk, newer, desk.key)
    assert [list(newer.files)[number] for number in told["missing"]] == ["new.py"]
    again = offer(desk, newer, desk.key, dry_run=True)
    assert again == {"id": newer.id, "missing": told["missing"]}


def test_many_files_are_asked_for_and_copied_in_portions(desk):
    content = {f"{number}.txt": f"{number % 200}".encode() for number in range(210)}
    first = make(desk, 1, content)
    assert len(offer(desk, first, desk.key)["missing"]) == 128
    assert "window_s" in deploy(desk, first)
    second = make(desk, 2, content | {"new.txt": b"new", "0.txt": b"other"})
    told = offer(desk, second, desk.key)
    asked = [list(second.files)[number] for number in told["missing"]]
    assert sorted(asked) == ["0.txt", "new.txt"]
    told = offer(desk, second, desk.key, dry_run=True)
    assert len(told["missing"]) == 2


def test_what_flash_does_not_take_as_it_is_is_not_copied_for_ever(desk, monkeypatch):
    deploy(desk, make(desk))
    write = filesystem._write

    def spoiled(files, path, data, mode):
        write(files, path, data if "/apps/" not in path or ".json" in path else b"?", mode)

    monkeypatch.setattr(filesystem, "_write", spoiled)
    told = offer(desk, make(desk, 2), desk.key)
    assert len(told["missing"]) >= len(FILES) - 1


def test_dry_run_leaves_no_trace(desk):
    told = offer(desk, make(desk), desk.key, dry_run=True)
    assert len(told["missing"]) == len(FILES)
    assert folders(desk) == []


def test_the_one_before_is_kept_and_older_ones_are_removed(desk):
    apps = [make(desk, seq) for seq in (1, 2, 3)]
    for app in apps:
        assert "window_s" in deploy(desk, app)
    kept = [app.id for app in apps[1:]]
    assert folders(desk) == sorted(kept + [f"{ident}.json" for ident in kept])


def test_what_does_not_belong_into_its_folder_is_removed(desk):
    app = make(desk)
    offer(desk, app, desk.key)
    desk.end = None
    desk.files.mount()
    for folder in ("", "/lib", "/lib/deep", "/strange"):
        desk.files.os().mkdir(f"/apps/{app.id}{folder}")
    for path in ("strange/file", "lib/deep/old.py", ".part"):
        with desk.files.open(f"/apps/{app.id}/{path}", "w") as file:
            file.write("x")
    deploy(desk, app)
    assert files_of(desk, f"/apps/{app.id}") == FILES


def test_one_that_does_not_reach_the_broker_is_gone_back_from_and_said_why(desk):
    old, dead = make(desk), make(desk, 2)
    deploy(desk, old)
    desk.lost_apps = {dead.id}
    assert "window_s" in deploy(desk, dead)
    told = facts(desk)["app"]
    assert (told["id"], told["state"]) == (old.id, "confirmed")
    assert (told["failed"]["id"], told["failed"]["code"]) == (dead.id, codes.NO_BROKER)
    assert "did not reach its broker within 1 s" in told["failed"]["reason"]
    refused = deploy(desk, dead)
    assert refused["code"] == codes.FAILED_BEFORE
    desk.lost_apps = set()
    assert "window_s" in deploy(desk, dead, retry_failed=True)
    told = {"state": "confirmed", "id": dead.id, "name": "desk", "version": "2"}
    assert facts(desk)["app"] == told


def test_the_first_one_that_fails_leaves_none(desk):
    dead = make(desk)
    desk.lost_apps = {dead.id}
    deploy(desk, dead)
    assert facts(desk)["app"]["state"] == "none"
    assert facts(desk)["app"]["failed"]["id"] == dead.id
    assert desk.life.board.config.app == ""


def trial(desk, app, cause):
    """Deploy, and have the trial end with that reset cause; return what the next boot says."""
    assert desk.run(Deploy(desk, app))

    async def end(life: Life) -> None:
        assert life.board.identity.trying()
        assert life.board.config.app_trial

    desk.connected = False
    assert not desk.run(end)
    desk.connected = True
    if cause == ResetCause.PWRON:
        desk.power_on()
    desk.cause = cause
    desk.run(settled)
    return facts(desk)["app"]["failed"]["code"]


def test_a_trial_that_crashes_hangs_or_loses_power_has_failed(desk):
    app = make(desk)
    assert trial(desk, app, ResetCause.WDT) == codes.WATCHDOG
    assert trial(desk, make(desk, 2), ResetCause.HARD) == codes.CRASH
    assert trial(desk, make(desk, 3), ResetCause.PWRON) == codes.POWER_LOST
    assert "window_s" in deploy(desk, make(desk, 3))  # power is not its fault


def test_what_is_not_signed_rightly_is_refused_and_nothing_is_written(desk):
    app = make(desk)
    other = SigningKey(rsa.generate_private_key(65537, 3072), "another")
    assert offer(desk, app, None)["code"] == codes.BAD_SIGNATURE
    assert offer(desk, app, other)["code"] == codes.BAD_SIGNATURE
    foreign = make(desk, key=other.public.id)
    assert offer(desk, foreign, other)["code"] == codes.UNKNOWN_KEY
    for signature in ("", "AAAA"):
        assert offer(desk, app, desk.key, signature=signature)["code"] == codes.BAD_SIGNATURE
    changed = App(app.files, app.manifest.replace(b"pump", b"bump"))
    signature = base64.b64encode(desk.key.sign(app.manifest)).decode()
    assert offer(desk, changed, None, signature=signature)["code"] == codes.BAD_SIGNATURE
    image = Image.make(desk, "2.0", b"firmware")  # rightly signed, and no application
    pretended = App({}, image.offer.to_bytes())
    assert offer(desk, pretended, desk.key)["code"] == codes.MALFORMED
    assert folders(desk) == []


def test_firmware_without_keys_takes_what_nobody_signed_and_checks_its_files(desk):
    desk.modules._given["mqbuild"].KEYS = ()
    desk.modules.forget()
    app = make(desk, key="")
    told = offer(desk, app, None)
    assert len(told["missing"]) == len(FILES)
    put(desk, f"{told['folder']}/pump.py", b"a = 2\n")  # not what the manifest says
    told = offer(desk, app, None)
    assert len(told["missing"]) == len(FILES)
    assert "window_s" in deploy(desk, app, signature=None)
    assert files_of(desk, desk.life.board.config.app) == FILES


def test_half_a_manifest_is_asked_for_again(desk):
    app = make(desk)
    for data in (b"", b"{", app.manifest[:-9], make(desk, 2).manifest):
        told = offer(desk, App(app.files, data), desk.key, id=app.id)
        assert told["manifest"] == f"/apps/{app.id}.json"
    assert "window_s" in deploy(desk, app)


@pytest.mark.parametrize("ident", ["", "x" * 16, "../../../../abcd", 5, None, "A" * 16])
def test_an_id_that_is_none_is_refused(desk, ident):
    told = ask(desk, "deploy", json.dumps({"id": ident}).encode())
    assert told["code"] == codes.MALFORMED
    told = ask(desk, "deploy", json.dumps({"id": "a" * 16, "signature": ident or 5}).encode())
    assert "manifest" in told or told["code"] == codes.MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {"files": []},
        {"files": [["../out.py", 1, "0" * 64]]},
        {"files": [["/abs.py", 1, "0" * 64]]},
        {"files": [["a", 1, "0" * 64], ["a/b", 1, "0" * 64]]},
        {"files": [["b", 1, "0" * 64], ["a", 1, "0" * 64]]},
        {"files": [["a-b", 1, "0" * 64], ["a/b", 1, "0" * 64]]},
        {"files": [["", 1, "0" * 64]]},
        {"modules": {"x": {"y": 1, "files": [["z"]]}}},
        {"files": [["a", 1, "0" * 64], ["a", 1, "0" * 64]]},
        {"files": [["a", -1, "0" * 64]]},
        {"files": [["a", 1]]},
        {"files": "none"},
        {"name": "no/name"},
        {"name": ""},
        {"version": "x" * 33},
        {"modules": []},
        {"seq": "1"},
        {"kind": "image"},
        {"kind": "image", "format": 1},
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(desk, changes):
    told = offer(desk, make(desk, **changes), desk.key)
    assert told["code"] == codes.MALFORMED, told
    assert folders(desk) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"files": [["a.py", 1, "x" * 64]]}, "the sha256 of file a.py: it must have 64 digits"),
        ({"files": [["a.py", 1, "A" * 64]]}, "the sha256 of file a.py: it must have 64 digits"),
        ({"files": [["a.py", 1, "0" * 63]]}, "the sha256 of file a.py: it must have 64 digits"),
        ({"files": [["a/../b", 1, "0" * 64]]}, "file a/../b: a level of it is empty, . or .."),
        ({"modules": {"../x": {}}}, "module ../x: no module can be called so"),
        ({"modules": {"pump": {}, "a/b": {}}}, "module a/b: no module can be called so"),
        ({"modules": {"_boot": {}}}, "module _boot: no module can be called so"),
        ({"modules": {"": {}}}, "module : no module can be called so"),
    ],
)
def test_what_no_manifest_can_say_is_named(desk, changes, words):
    told = offer(desk, make(desk, **changes), desk.key)
    assert (told["code"], told["refused"][: len(words)]) == (codes.MALFORMED, words)
    assert folders(desk) == []


def test_what_is_older_than_what_was_confirmed_is_refused_unless_the_owner_allows_it(desk):
    deploy(desk, make(desk, 5))
    older = make(desk, 4)
    assert deploy(desk, older)["code"] == codes.TOO_OLD
    assert "window_s" in deploy(desk, make(desk, 6, committed=False))
    assert "window_s" in deploy(desk, make(desk, 5, FILES | {"x": b""}))  # nothing raised it to 6
    desk.configure(CONFIG | {"update": CONFIG["update"] | {"allow_downgrade": True}})
    assert "window_s" in deploy(desk, older)


def test_going_back_takes_force_and_the_owners_word_if_what_was_before_is_older(desk):
    old, new = make(desk, 1), make(desk, 2)
    assert ask(desk, "apps", b'{"rollback": true}')["code"] == codes.REFUSED
    deploy(desk, old)
    deploy(desk, new)
    assert "allow_rollback" in deploy(desk, None)["refused"]
    desk.configure(CONFIG | {"update": CONFIG["update"] | {"allow_rollback": True}})
    assert "--force" in deploy(desk, None)["refused"]
    assert deploy(desk, None, force=True)["id"] == old.id
    assert facts(desk)["app"]["id"] == old.id
    assert ask(desk, "apps", b"{}")["before"]["id"] == new.id
    assert deploy(desk, None)["id"] == new.id  # it is not older


def test_what_was_changed_by_hand_is_not_gone_back_to(desk):
    old, new = make(desk, 1), make(desk, 2, committed=False)
    deploy(desk, old)
    deploy(desk, new)
    desk.end = None
    desk.files.mount()
    with desk.files.open(f"/apps/{old.id}/pump.py", "w") as file:
        file.write("a = 3\n")
    assert ask(desk, "apps", b'{"rollback": true}')["code"] == codes.IMAGE_HASH


def test_in_safe_mode_nothing_of_it_runs_and_another_one_leads_out(desk):
    deploy(desk, make(desk, modules={"pump": {}}))

    async def into_safe_mode(life: Life) -> None:
        await settled(life)
        life.board.blackbox.want("safe")

    desk.run(into_safe_mode)
    modes = []

    async def look(life: Life) -> None:
        await settled(life)
        modes.append((life.board.identity.mode, life.board.identity.app["state"]))

    desk.run(look)
    assert modes == [("safe", "stopped")]
    assert "window_s" in deploy(desk, make(desk, 2))
    desk.run(look)
    assert modes[1:] == [("normal", "confirmed")]


def test_nothing_is_taken_while_something_is_on_trial(desk):
    told = []

    async def at_once(life: Life) -> None:
        start = len(life.said)
        for message in split(make(desk).request(desk.key)):
            life.tell(command_topic(PREFIX, "deploy", "atonce--"), message)
        told.append(json.loads((await life.reply("atonce--", start))[2:]))

    desk.run(at_once)
    assert told[0]["code"] == codes.UNCONFIRMED


def test_one_whose_files_are_gone_can_be_sent_again(desk):
    app = make(desk)
    deploy(desk, app)
    desk.end = None
    desk.files.mount()
    desk.files.os().remove(f"/apps/{app.id}.json")
    desk.run(settled)
    assert facts(desk)["app"]["state"] == "missing"
    assert "window_s" in deploy(desk, app)
    assert facts(desk)["app"]["state"] == "confirmed"


def test_one_that_has_no_room_is_refused_and_what_nobody_needs_makes_room(desk):
    size = desk.table.find("vfs").size
    huge = make(desk, 1, {"huge.bin": bytes(size)})
    told = offer(desk, huge, desk.key)
    assert told["code"] == codes.TOO_LARGE and "KiB are free" in told["refused"]
    apps = [make(desk, n, {f"{n}.bin": bytes([n]) * (size * 2 // 5)}) for n in (1, 2, 3)]
    for app in apps:
        assert "window_s" in deploy(desk, app)
    assert ask(desk, "apps", b"{}")["before"]["id"] == apps[1].id
