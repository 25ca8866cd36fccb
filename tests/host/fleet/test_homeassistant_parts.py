"""Tests what a bridge to Home Assistant decides by: names of topics, who is responsible, versions,
how far an update is."""

import jsonschema
import pytest
from awesomeversion import AwesomeVersion, AwesomeVersionCompareException
from hassschemas import DEVICE, ENTITIES, UPDATE_STATE
from pushing import offer_for

from mqhost.errors import UsageError
from mqhost.fleet.homeassistant.boards import Boards
from mqhost.fleet.homeassistant.device import LONGEST, Device
from mqhost.fleet.homeassistant.discovery import described_status, description
from mqhost.fleet.homeassistant.jobs import percent
from mqhost.fleet.homeassistant.owners import DEAD, GREETING, Owners
from mqhost.fleet.homeassistant.topics import Topics, ident_of
from mqhost.fleet.rollout.outcome import CONFIRMED, Outcome
from mqhost.link.roster import Sighting
from mqhost.update import transfer

APP = b"app" * 5000
OFFER = offer_for(APP)
ONLINE = {"state": "online", "id": "ab12", "board": "sim", "version": "0.1.0", "image": "c" * 64}


def device(**facts):
    made = Device("ab12", "farm/pump", OFFER)
    made.hear(ONLINE | {"boot_id": "1"} | facts)
    return made


# Topics


@pytest.mark.parametrize("discovery", ["homeassistant", "ha", "my/house"])
def test_topics_are_read_as_they_are_written(discovery):
    topics = Topics(discovery)
    assert topics.described(topics.config("ab12")) == "ab12"
    assert topics.parse(topics.of("ab12", "state")) == ("ab12", "state")
    for other in (topics.birth, topics.bridge, topics.bridges, "x/y", topics.config("a/b")):
        assert topics.described(other) == "" and topics.parse(other) == ("", "")
    assert topics.described(f"{discovery}/device/zigbee_ab12/config") == ""


@pytest.mark.parametrize(
    "discovery", ["", "a/+", "#", "$SYS", "a//b", "/a", "a/", "x\n", "a" * 999]
)
def test_a_discovery_prefix_that_is_no_topic_is_refused(discovery):
    with pytest.raises(UsageError, match="discovery prefix"):
        Topics(discovery)


@pytest.mark.parametrize("said", [None, "", "a b", "ä", "a/b", "x" * 99, 5, ["a"]])
def test_who_says_no_id_is_called_by_the_prefix(said):
    one, other = ident_of("farm/a", {"id": said}), ident_of("farm/b", {"id": said})
    assert (
        one != other and one.startswith("at_") and Topics().parse(Topics().of(one, "x"))[0] == one
    )


# What is described


def test_what_is_described_is_what_home_assistant_takes():
    record = description(device(), Topics(), "1.0")
    jsonschema.validate(record, DEVICE)
    for entity in record["components"].values():
        jsonschema.validate(entity, ENTITIES[entity["platform"]])
    assert described_status(record) == "farm/pump/mqb/status"
    jsonschema.validate(device().update("https://example.com/notes"), UPDATE_STATE)


@pytest.mark.parametrize("wrong", ["state_class", "device_class", "unit_of_measurement"])
def test_the_schemas_are_strict(wrong):
    entity = description(device(), Topics(), "1.0")["components"]["heap_free"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(entity | {wrong: "apples"}, ENTITIES["sensor"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(entity | {"extra": 1}, ENTITIES["sensor"])


@pytest.mark.parametrize(
    "record",
    [None, [], {}, {"origin": "MQBoard"}, {"origin": {"name": "Zigbee2MQTT"}, "availability": []}]
    + [{"origin": {"name": "MQBoard"}, "availability": what} for what in (None, [], [1], [{}])],
)
def test_what_others_describe_is_not_ours(record):
    assert described_status(record) == ""


# Versions


@pytest.mark.parametrize(
    ("old", "new"),
    [("0.5", "0.5.1"), ("0.5", "0.5"), ("0.5+3.gabc", "0.5+4.gabd"), ("0.5.1", "0.5"), ("x", "1")],
)
def test_another_image_is_an_update_whatever_its_version(old, new):
    one, other = Device.label(old, "a" * 64), Device.label(new, "b" * 64)
    assert one != other
    with pytest.raises(AwesomeVersionCompareException):  # then Home Assistant takes it for newer
        bool(AwesomeVersion(other) > AwesomeVersion(one))


def test_what_runs_already_is_no_update():
    record = device(image=OFFER.sha256, version="0.2.0").update()
    assert record["installed_version"] == record["latest_version"]


def test_a_long_reason_is_cut():
    made = device()
    made.settle("not installed: " + "because " * 100, 0.0)
    assert len(made.update()["release_summary"]) == LONGEST
    jsonschema.validate(made.update(), UPDATE_STATE)


def test_a_board_whose_image_is_not_known_shows_its_version():
    assert device(image=None).update()["installed_version"] == "0.1.0"
    assert device(image=None, version=["x"]).update()["installed_version"] == "unknown"


# When a boot began


def test_one_boot_began_at_one_time_however_late_answers_are():
    made = device()
    made.take_info({"uptime_s": 10}, 1000.0)
    made.take_info({"uptime_s": 20}, 1010.9)
    assert made.booted_at == 990.0
    made.hear(ONLINE | {"boot_id": "2"})
    assert made.state("me")["last_reset"] is None and made.state("me")["uptime_s"] is None
    for odd in (float("nan"), True, "5", None, 1e30):
        made.take_info({"uptime_s": odd}, 2000.0)
        assert made.booted_at is None and made.state("me")["uptime_s"] is None
    made.take_info({"uptime_s": 1e14}, 2000.0)  # three million years
    assert made.state("me")["last_reset"] is None


# What is asked


def test_a_board_that_stays_away_is_given_up():
    made = device()
    made.hear({"state": "offline", "id": "ab12"})
    assert "waits for the board" in made.press_install()
    assert made.next_job(made.wanted_at + 99, 100) == "" and made.wanted
    assert made.next_job(made.wanted_at + 101, 100) == "" and not made.wanted
    assert "offline for too long" in made.result


def test_silence_that_ends_offline_is_not_counted():
    made = device()
    made.press_install()
    made.hear({"state": "offline", "id": "ab12"})
    for _ in range(9):
        made.installed(Outcome(reason="x", passing=True, counted=True), "silent", 0.0, 3, 30)
        assert made.wanted
    made.hear(ONLINE)
    for attempt in range(3):
        assert made.wanted and made.attempts == attempt
        made.installed(Outcome(reason="x", passing=True, counted=True), "silent", 0.0, 3, 30)
    assert not made.wanted and made.result == "not installed: silent"


def test_the_pauses_between_attempts_grow():
    made = device()
    made.press_install()
    for pause in (30, 60):
        made.installed(Outcome(reason="x", passing=True, counted=True), "busy", 1000.0, 3, 30)
        assert made.next_job(1000.0 + pause - 1, 9e9) == ""
        assert made.next_job(1000.0 + pause, 9e9) == "install"
    made.installed(CONFIRMED, "done", 0.0, 3, 30)
    assert (made.wanted, made.attempts, made.result) == ("", 0, "done")


def test_a_restart_comes_first_and_not_into_an_update():
    made = device()
    assert made.press_restart() == "" and made.next_job(0.0, 9.0) == "restart"
    made.press_install()
    assert "under way" in made.press_restart()


def test_what_an_earlier_run_left_is_gone_on_with_and_nonsense_is_not():
    before = device()
    before.press_install()
    before.tell("something", 1_800_000_000.0)
    after = device()
    after.inherit(before.state("other"))
    assert (after.wanted, after.result_at) == (OFFER.sha256, 1_800_000_000.0)
    for odd in ({}, {"wanted": 5}, {"result": "x", "result_at": "soon"}, {"wanted_at": "x"}):
        made = device()
        made.inherit(odd)
        assert (made.wanted, made.result) == ("", "")
        made.state("me")


# Who is responsible


def test_the_last_one_who_said_so_is_responsible_as_long_as_it_lives():
    one = Owners("one", 0.0)
    assert not one.free("x", GREETING - 0.1) and one.free("x", GREETING)
    one.alive("two", 5.0)
    one.claimed("x", "one")
    assert one.mine("x") and not one.free("x", 99.0)
    one.claimed("x", "two")  # came behind ours
    assert not one.mine("x") and not one.free("x", 5.0 + DEAD)
    assert one.free("x", 5.1 + DEAD)
    one.alive("two", 30.0)
    assert not one.free("x", 31.0)
    one.gone("two")
    assert one.free("x", 31.0)


def test_after_a_lost_connection_the_others_have_time_to_come_back():
    one = Owners("one", 0.0)
    one.alive("two", 1.0)
    one.claimed("x", "two")
    one.claimed("y", "one")
    one.begin(100.0)
    assert not one.free("x", 100.0 + DEAD) and one.free("x", 100.1 + DEAD)
    assert not one.mine("y") and not one.free("y", 100.0)  # another one may have it by now
    one.claimed("y", "one")  # the broker still has it so
    assert one.mine("y")


def test_who_was_never_heard_is_dead_after_the_greeting():
    one = Owners("one", 0.0)
    one.claimed("x", "long gone")
    assert not one.free("x", 0.0) and one.free("x", GREETING)


# Who is where


def sighted(**status):
    return Sighting({"state": "online", "board": "sim"} | status, None)


def test_what_a_board_left_at_its_old_prefix_changes_nothing():
    boards = Boards([OFFER])
    boards.look("new", sighted(id="ab12"))
    found = boards.look("old", sighted(id="ab12", state="offline"))
    assert found.device is None and boards.of("ab12").prefix == "new" and boards.of("ab12").online
    assert boards.look("old", None).gone == () and boards.has("ab12")
    (gone,) = boards.look("new", None).gone
    assert gone.ident == "ab12" and not boards.has("ab12")


def test_two_boards_at_one_prefix_stay_two():
    boards = Boards([OFFER])
    boards.look("farm", sighted(id="ab12", twin="cd34"))
    found = boards.look("farm", sighted(id="cd34", twin="ab12"))
    assert found.gone == () and boards.idents() == {"ab12", "cd34"}


def test_a_will_without_an_id_is_of_who_was_there():
    boards = Boards([OFFER])
    assert boards.look("farm", Sighting({"state": "offline"}, None)).device is None
    boards.look("farm", sighted(id="ab12"))
    found = boards.look("farm", Sighting({"state": "offline"}, None))
    assert found.device is boards.of("ab12") and not found.device.online
    assert boards.is_of("ab12", "farm", Sighting({"state": "offline"}, None))


# How far


def test_an_update_only_goes_on():
    stages = (
        *(transfer.SETTLE, transfer.DIFFER, transfer.COMPARE, transfer.SEND),
        *(transfer.VERIFY, transfer.RESTART, transfer.CONFIRM),
    )
    found = [percent(stage, done, 10) for stage in stages for done in (0, 5, 10)]
    assert found == sorted(found) and found[0] == 0 and found[-1] < 100
    assert percent(transfer.SEND, 99, 10) == percent(transfer.SEND, 10, 10)
    assert percent(transfer.SETTLE, 0, 0) == 0
