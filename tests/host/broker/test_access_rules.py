"""Tests the access rules: what each board and each role may read and write."""

import json

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

import mqwire
from mqhost.broker import rules
from mqhost.broker.access import Access
from mqhost.errors import UsageError
from mqwire import waiting
from mqwire.twins import own_root

TEXT = """
[broker]
host = "broker.lan"
broadcast = ["all/mqb/blocks/+"]
[[boards]]
prefix = "pump"
also = ["old/pump"]
write = ["weather/wanted"]
[[boards]]
prefix = "farm/gate"
read = ["weather/#"]
[[boards]]
prefix = "farm/shed/heater"
[[operators]]
name = "logs"
roles = ["logs"]
[[operators]]
name = "update"
roles = ["update"]
prefixes = ["farm/#"]
[[operators]]
name = "repl"
roles = ["repl"]
prefixes = ["farm/+"]
[[operators]]
name = "home"
read = ["+/+/sensor"]
write = ["weather/now"]
"""


@pytest.fixture(scope="module")
def access():
    return Access.parse(TEXT, "users.toml")


@pytest.fixture(scope="module")
def may(access):
    """Give may(user, access, topic): whether a rule allows it, as mosquitto reads the text."""
    allowed = read_rules(rules.acl(access))

    def may(user, want, topic):
        return any(
            kind in (want, "readwrite") and topic_matches_sub(one, topic)
            for kind, one in allowed[user]
        )

    return may


COMMAND = mqwire.command_topic("farm/gate", "eval", "abc")


def test_a_board_has_what_is_below_its_prefix(may):
    for topic in (COMMAND, "farm/gate/mqb/status", "farm/gate/log", "farm/gate/own/topic"):
        for want in ("read", "write"):
            assert may("farm-gate", want, topic)
            assert not may("pump", want, topic)
            assert not may("farm-shed-heater", want, topic)


def test_a_board_that_moves_has_both_prefixes(may):
    assert may("pump", "read", "old/pump/mqb/cmd/ping/a") and may("pump", "write", "pump/log")


def test_topics_beyond_the_prefix_are_given_one_by_one(may):
    rain = "weather/rain"
    assert may("farm-gate", "read", rain) and not may("farm-gate", "write", rain)
    assert may("pump", "write", "weather/wanted") and not may("pump", "read", "weather/wanted")
    assert may("home", "read", "farm/gate/sensor") and not may("home", "read", "farm/gate/log")


def test_boards_hear_what_is_for_all_and_updaters_say_it(may):
    topic = "all/mqb/blocks/x"
    assert may("pump", "read", topic) and not may("pump", "write", topic)
    assert may("update", "write", topic) and may("repl", "write", topic)
    assert not may("logs", "write", topic)


READ_BY_ALL = [mqwire.status_topic, mqwire.log_topic, mqwire.crash_topic]


@pytest.mark.parametrize("role", ["logs", "update", "repl"])
def test_each_role_reads_statuses_logs_and_crashes_and_writes_none(may, role):
    for topic in READ_BY_ALL:
        assert may(role, "read", topic("farm/gate"))
        if role != "repl":
            assert not may(role, "write", topic("farm/gate"))


@pytest.mark.parametrize("root", ["farm/gate", own_root("farm/gate", "240ac49dc9bb")])
@pytest.mark.parametrize("command", ["eval", "config", "put", "reset", "exec", "modules", "crash"])
def test_only_repl_sends_commands_that_are_not_for_updates(may, root, command):
    topic = mqwire.command_topic(root, command, "abc")
    assert [role for role in ("logs", "update", "repl") if may(role, "write", topic)] == ["repl"]


@pytest.mark.parametrize("command", rules.UPDATE_COMMANDS)
def test_who_may_update_sends_what_an_update_takes(may, command):
    topic = mqwire.command_topic("farm/gate", command, "abc")
    assert not may("logs", "write", topic)
    for role in ("update", "repl"):
        assert may(role, "write", topic)
        assert may(role, "write", mqwire.blocks_topic("farm/gate", "abc"))
        assert may(role, "read", mqwire.reply_topic("farm/gate", "abc"))
        assert may(role, "read", mqwire.error_topic("farm/gate", "abc"))


def test_who_may_update_leaves_the_note_that_something_is_waiting(may):
    note = waiting.topic("farm/gate")
    for want in ("read", "write"):
        assert [role for role in ("logs", "update", "repl") if may(role, want, note)] == [
            "update",
            "repl",
        ]
        assert may("farm-gate", want, note) and not may("pump", want, note)


def test_replies_are_not_for_who_only_reads_logs(may):
    assert not may("logs", "read", mqwire.reply_topic("farm/gate", "abc"))


def test_the_json_repl_is_for_repl(may):
    assert may("repl", "write", "farm/gate/repl/in") and may("repl", "read", "farm/gate/repl/out")
    for role in ("logs", "update"):
        assert not may(role, "write", "farm/gate/repl/in")
        assert not may(role, "read", "farm/gate/repl/out")


def test_a_pattern_is_for_the_prefixes_that_match_and_no_others(may):
    heater = mqwire.command_topic("farm/shed/heater", "update", "abc")
    assert may("update", "write", heater)  # farm/#
    assert not may("repl", "write", heater)  # farm/+
    assert not may("update", "write", mqwire.command_topic("pump", "update", "abc"))
    for prefix in ("pump", "old/pump", "farm/gate", "farm/shed/heater"):  # #
        assert may("logs", "read", mqwire.log_topic(prefix))


def test_a_pattern_of_one_level_is_not_all_topics(may):
    assert not may("logs", "read", "pump/own/topic")
    assert not may("repl", "read", "farm/gate/own/topic")


def test_broadcasts_are_heard_by_boards_and_written_by_who_may_update(may):
    for topic in ("mqboard/mqb/blocks/abc", "mqboard/mqb/blocks/abc/offer"):
        assert may("pump", "read", topic) and not may("pump", "write", topic)
        for operator, writes in (("logs", False), ("update", True), ("repl", True)):
            assert may(operator, "write", topic) == writes
            assert not may(operator, "read", topic)
    assert not may("pump", "read", "mqboard/mqb/status")


def test_patterns_find_their_boards(access):
    found = {
        pattern: [board.name for board in rules.matching(pattern, access.boards)]
        for pattern in ("#", "+", "farm/#", "farm/+", "farm/gate", "+/pump", "far/#")
    }
    assert found == {
        "#": ["pump", "farm-gate", "farm-shed-heater"],
        "+": ["pump"],
        "farm/#": ["farm-gate", "farm-shed-heater"],
        "farm/+": ["farm-gate"],
        "farm/gate": ["farm-gate"],
        "+/pump": ["pump"],
        "far/#": [],
    }


def read_rules(text):
    """Return {user: [(access, topic)]} of an acl_file, as mosquitto takes its lines apart."""
    allowed = {}
    for line in text.split("\n"):
        word, _, rest = line.partition(" ")
        if word == "user":
            user = allowed.setdefault(rest, [])
        elif word == "topic":
            access, _, topic = rest.partition(" ")
            user.append((access, topic.strip()))
        else:
            assert not line or line.startswith("#"), line
    return allowed


# Mostly what is taken, and now and then anything.
PREFIXES = st.text("abü %", min_size=1, max_size=6).map("x{}/y".format) | st.text(max_size=6)
PATTERNS = st.sampled_from(["#", "+", "+/y", "xa/#"]) | st.text("ab+#/ \n", max_size=6)


@settings(max_examples=400)
@given(
    prefixes=st.lists(PREFIXES, max_size=3),
    topics=st.lists(PREFIXES, max_size=2),
    patterns=st.lists(PATTERNS, max_size=2),
)
def test_no_text_in_the_file_makes_a_rule_that_it_does_not_say(prefixes, topics, patterns):
    boards = "".join(
        f'[[boards]]\nname = "b{n}"\nprefix = {json.dumps(prefix)}\nread = {json.dumps(topics)}\n'
        for n, prefix in enumerate(prefixes)
    )
    operator = '[[operators]]\nname = "op"\nroles = ["logs"]\n'
    text = f'[broker]\nhost = "b"\n{boards}{operator}prefixes = {json.dumps(patterns)}\n'
    try:
        access = Access.parse(text, "users.toml")
    except UsageError:
        return
    event("accepted")
    found = read_rules(rules.acl(access))
    assert list(found) == [f"b{n}" for n in range(len(prefixes))] + ["op"]
    for board in access.boards:
        listens = (rules.STREAMS, *topics)
        wanted = [("readwrite", f"{board.prefix}/#"), *(("read", topic) for topic in listens)]
        assert found[board.name] == wanted
    assert {access for access, _ in found["op"]} <= {"read"}
    ends = ("/log", "/mqb/status", "/mqb/crash")
    assert all(topic.endswith(ends) for _, topic in found["op"])


def test_a_thousand_boards_make_no_operator_slow():
    """mosquitto looks through a user's rules for every message."""
    boards = "".join(f'[[boards]]\nprefix = "site{n % 7}/b{n}"\n' for n in range(1000))
    text = '[broker]\nhost = "b"\n' + boards + '[[operators]]\nname = "a"\nroles = ["repl"]\n'
    access = Access.parse(text, "users.toml")
    assert len(rules.operator_rules(access.operators[0], access.boards, access.site)) == 4
