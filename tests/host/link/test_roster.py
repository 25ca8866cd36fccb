"""Tests the roster: which statuses it asks for, what it makes of them, which names are near."""

import json

import pytest
from paho.mqtt.client import topic_matches_sub
from waiting import wait_until

import mqwire
from mqhost.errors import BrokerError, SilentBoardError, UsageError
from mqhost.link.connection import Connection, Wide
from mqhost.link.roster import Roster, meant, nearest, status_filters
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.sim.broker import Broker
from mqwire import names


@pytest.fixture(scope="module")
def private():
    """A broker without other boards on it."""
    with Broker() as running:
        yield running


@pytest.fixture
def connection(private):
    opened = Connection(Settings(server=private.host, port=private.port, prefix="x", timeout=5))
    opened._client.max_inflight_messages_set(0)  # as many as the tests want
    opened.connect()
    yield opened
    opened.close()


def say(connection, prefix, status, retain=True):
    """Publish as the board at `prefix` does."""
    payload = status if isinstance(status, bytes) else json.dumps(status).encode()
    message = connection._client.publish(mqwire.status_topic(prefix), payload, 1, retain)
    message.wait_for_publish(5)


def matches(pattern, prefix):
    topic = mqwire.status_topic(prefix)
    return any(topic_matches_sub(known, topic) for known in status_filters(pattern))


@pytest.mark.parametrize("prefix", ["a", "a/b", "esp32/test", "/".join("a" * 100)])
def test_everything_is_asked_for_whatever_its_levels(prefix):
    names.check_prefix(prefix)
    assert matches("#", prefix)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("farm/+", "farm/a", "farm/a/b"),
        ("farm/+", "farm/a", "farm"),
        ("farm/#", "farm/a/b/c", "barn/a"),
        ("farm/#", "farm", "farms"),
        ("+/door", "a/door", "door"),
        ("farm/+/#", "farm/a", "farm"),
        ("farm", "farm", "farm/a"),
    ],
)
def test_a_pattern_matches_prefixes_as_mqtt_does_topics(pattern, yes, no):
    assert matches(pattern, yes)
    assert not matches(pattern, no)


@pytest.mark.parametrize("pattern", ["", "a+", "a/#/b", "#a", "/a", "a//b", "a/", "$SYS/#", "a\n"])
def test_what_is_no_pattern_is_told(pattern):
    with pytest.raises(UsageError, match="matches no prefix|is no pattern"):
        status_filters(pattern)


def test_it_collects_statuses_and_nothing_else(connection):
    say(connection, "farm/a", {"state": "online"})
    say(connection, "farm/b", b"no json")
    say(connection, "farm/b/c", {"state": "offline"})
    connection.publish("mqb/status", b'{"state": "online"}').wait_for_publish(5)
    connection.publish("farm/a/log", b"a line").wait_for_publish(5)
    with Roster(connection) as roster:
        known = roster.settle()
    assert list(known) == ["farm/a", "farm/b/c"]
    assert known["farm/a"].heard_at is None


def test_it_follows_what_changes_and_says_when(connection):
    say(connection, "live/a", {"state": "online"})
    changes = []
    with Roster(connection, "live/+", changes.append) as roster:
        roster.settle()
        say(connection, "live/a", {"state": "offline"})
        wait_until(lambda: len(changes) == 2)
        assert roster.sightings()["live/a"].heard_at is not None
        say(connection, "live/a", b"")  # removed from the broker
        wait_until(lambda: not roster.sightings())
    assert changes == ["live/a"] * 3


def test_it_hears_of_a_board_that_a_session_is_with(connection):
    say(connection, "met/a", {"state": "online"})
    settings = Settings(server="x", prefix="met/a", timeout=5)
    with Roster(connection, "met/+") as roster, Roster(connection, "other/+") as other:
        with Session(settings, connection=connection) as session:
            assert session.status()
            say(connection, "met/a", {"state": "online", "version": "2"})
            assert session.wait_status(lambda status: status.get("version") == "2", 5)
            assert roster.sightings()["met/a"].status["version"] == "2"
        say(connection, "met/a", {"state": "offline"})
        wait_until(lambda: roster.sightings()["met/a"].status["state"] == "offline")
        assert not other.sightings()


def test_thousands_of_boards_are_all_found(connection):
    count = 2000
    status = json.dumps({"state": "online", "version": "x" * 300}).encode()
    for number in range(count):
        sent = connection._client.publish(f"many/{number}/mqb/status", status, 1, True)
    sent.wait_for_publish(20)
    with Roster(connection, "many/+") as roster:
        assert len(roster.settle()) == count


def test_a_typo_is_told_the_nearest_names():
    known = ["esp32/test", "esp32/kitchen", "farm/pump"]
    assert nearest("esp32/tset", known) == ["esp32/test"]
    assert nearest("esp32/kitchn", known)[0] == "esp32/kitchen"
    assert nearest("other", known) == []


def test_a_name_that_is_taken_for_a_prefix_is_told_with_the_option_for_names(connection, private):
    settings = Settings(server=private.host, port=private.port, prefix="pmup", names=("pump",))
    with Session(settings) as session, pytest.raises(SilentBoardError, match="mean --to pump?"):
        session.request("info")


def test_the_error_for_a_prefix_where_nobody_is_names_the_nearest(connection, private):
    say(connection, "house/garage", {"state": "online"})
    settings = Settings(server=private.host, port=private.port, prefix="house/garag", timeout=1)
    with Session(settings) as session, pytest.raises(SilentBoardError, match="mean house/garage?"):
        session.request("info")


def test_a_broker_that_grants_a_part_is_heard_as_far_as_that():
    wide = Wide("the statuses of #", status_filters("#"), lambda *_: None)
    wide.answered([False, True, True])
    assert (wide.granted, wide.refused) == (True, False)
    wide.answered([True, True, True])
    assert (wide.granted, wide.refused) == (False, True)


def test_a_broker_that_does_not_let_us_look_is_no_second_error(connection, monkeypatch):
    def refuse(subscription):
        raise BrokerError("no")

    monkeypatch.setattr(connection, "subscribe", refuse)
    assert meant(connection, "house/garag") == [""]
