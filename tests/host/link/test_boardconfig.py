"""Tests the host's rules for a board's configuration, held against the board's own."""

import copy
import importlib
import json
import sys
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqhost.errors import UsageError
from mqhost.link import boardconfig
from mqhost.link.boardconfig import Wish, check, split_server, unknown
from mqhost.paths import FROZEN, ROOT
from mqwire.config import KEYS

FULL = {
    "prefix": "esp32/test",
    "networks": [{"ssid": "name", "password": "long secret"}, {"ssid": "open"}],
    "broker": {
        "host": "192.168.1.5",
        "port": 1884,
        "user": "u",
        "password": "p",
        "keepalive": 60,
        "version": "auto",
        "session_s": 60,
        "tls": True,
        "ca": "/certs/ca.pem",
        "cert": "/certs/cert.pem",
        "key": "/certs/key.pem",
        "verify": True,
        "server_name": "broker.lan",
    },
    "ethernet": {
        "phy_type": "W5500",
        "phy_addr": 0,
        "cs": 5,
        "int": 4,
        "spi": {"id": 1, "sck": 18, "mosi": 23, "miso": 19},
    },
    "ntp": "pool.ntp.org",
    "network": {"wait_s": 30},
    "update": {"health_s": 10, "confirm_s": 300.5},
    "watchdog": {"timeout_s": 60},
    "timezone": "+01:00",
    "log": {"level": "info", "levels": {"mqtt": "debug"}},
    "modules": {"blink": {"pin": 2}},
}
SMALL = {"prefix": "a", "networks": [{"ssid": "n"}], "broker": {"host": "h", "tls": False}}
# The board's own module, with what it finds on CPython in tests/board.
sys.path += [str(FROZEN), str(ROOT / "tests" / "board" / "cpython")]
on_board = importlib.import_module("mqboard.config")


class NothingKept:
    """A board's store (mqboard.health.bootrecord.Store) that is empty."""

    def get(self, key, most):
        return None


def places(value, path=()):
    """Yield the paths of everything in `value`."""
    yield path
    tables = {dict: lambda: value.items(), list: lambda: enumerate(value)}
    for key, item in tables.get(type(value), tuple)():
        yield from places(item, (*path, key))


def changed(record, path, change):
    """Return a copy of `record` in which `change(table, key)` was done at `path`."""
    record = copy.deepcopy(record)
    table = record
    for key in path[:-1]:
        table = table[key]
    change(table, path[-1])
    return record


def board_takes(record):
    with tempfile.NamedTemporaryFile("w") as file:
        json.dump(record, file)
        file.flush()
        try:
            return on_board.load(file.name, NothingKept())[1] == ""
        except on_board.ConfigError:
            return False


def host_takes(record):
    try:
        check(record)
    except UsageError:
        return False
    return not unknown(record)


PLACES = [path for path in places(FULL) if path and path[0] != "modules"]
OPTIONAL = {
    "port",
    "tls",
    "verify",
    "server_name",
    "ethernet",
    "ntp",
    "user",
    "password",
    "keepalive",
    "version",
    "session_s",
    "update",
    "watchdog",
    "log",
    "level",
    "levels",
    "timezone",
}
ODD = [None, True, False, 0, -1, 1.5, "", "x", [], {}, ["x"], {"x": 1}, 10**9]


def test_a_number_that_no_board_reads_as_one_is_refused():
    assert boardconfig.parse("[1e3, 2]") == [1000, 2]
    for text in ("NaN", "-Infinity", "1e999"):
        with pytest.raises(ValueError, match=f"{text} is no number"):
            boardconfig.parse(f"[{text}]")


def test_both_take_what_is_documented():
    for record in (FULL, SMALL):
        assert board_takes(record) and host_takes(record)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_what_a_board_refuses_the_host_refuses(path):
    def put(value):
        return lambda table, key: table.__setitem__(key, value)

    cases = [changed(FULL, path, put(value)) for value in ODD]
    cases.append(changed(FULL, path, lambda table, key: table.pop(key)))
    for record in cases:
        assert board_takes(record) or not host_takes(record), record


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["ssid", "host", "port"]), inner)),
       st.sampled_from(PLACES))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_no_value_passes_the_host_that_a_board_refuses(value, path):
    record = changed(FULL, path, lambda table, key: table.__setitem__(key, value))
    assert board_takes(record) or not host_takes(record)


@given(st.one_of(st.none(), st.floats(0.1, 1000)), st.one_of(st.none(), st.floats(0.1, 1000)))
@settings(max_examples=100, deadline=None)
def test_both_find_that_no_update_would_be_confirmed(health_s, confirm_s):
    record = FULL | {"update": {"health_s": health_s, "confirm_s": confirm_s}}
    assert board_takes(record) == host_takes(record)


@pytest.mark.parametrize("optional", [path for path in PLACES if path[-1] in OPTIONAL])
def test_what_may_be_missing_or_null_for_a_board_may_be_for_the_host(optional):
    for change in (lambda t, k: t.pop(k), lambda t, k: t.__setitem__(k, None)):
        record = changed(FULL, optional, change)
        assert board_takes(record) and host_takes(record)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prefix": "/a"}, "without slashes"),
        ({"networks": [{"ssid": "x" * 33}]}, "33 bytes"),
        ({"networks": [{"ssid": "x", "password": "1234567"}]}, "7 bytes; Wi-Fi takes 8 to 63"),
        ({"broker": {"host": "h", "port": 70000, "tls": False}}, "broker.port is 70000"),
        ({"broker": {"host": ""}}, "broker.host is ''; it must be the broker's name"),
        ({"broker": {"host": "h"}}, r"broker\.ca is missing"),
        (
            {"broker": {"host": "h", "ca": "/c", "cert": "/c"}},
            "broker.key is missing, which broker.cert needs",
        ),
        ({"networks": []}, "networks has none in it"),
        ({"ethernet": {"phy_type": "LAN8720"}}, r"ethernet\.phy_addr is missing"),
        ({"log": {"level": "loud"}}, "one of debug, info"),
        (
            {"update": {"confirm_s": 5}},
            r"update\.confirm_s is 5; it must be .*health_s, which is 10",
        ),
        ({"update": {"health_s": 151}}, r"update\.confirm_s is 300; .* which is 151"),
    ],
)
def test_the_host_finds_mistakes_that_a_board_would_not(change, words):
    with pytest.raises(UsageError, match=words):
        check(SMALL | change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modlues": {}}, "modlues is not known; a board ignores it. Did you mean modules?"),
        ({"networks": [{"ssid": "x", "pasword": "12345678"}]}, "Did you mean networks.0.password?"),
        ({"confirm_s": 5}, "Did you mean update.confirm_s?"),
        ({"paint": "red"}, "paint is not known; a board ignores it."),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_and_no_reason_to_refuse(change, words):
    check(SMALL | change)
    (told,) = unknown(SMALL | change)
    assert told.endswith(words)


@pytest.mark.parametrize(
    ("network", "good"),
    [
        ({"ssid": "n" * 32}, True),
        ({"ssid": "é" * 16}, True),
        ({"ssid": "é" * 16 + "n"}, False),
        ({"ssid": ""}, False),
        ({"ssid": "n", "password": "p" * 7}, False),
        ({"ssid": "n", "password": "p" * 8}, True),
        ({"ssid": "n", "password": "é" * 31 + "p"}, True),
        ({"ssid": "n", "password": "é" * 32}, False),
        ({"ssid": "n", "password": "0aF9" * 16}, True),
        ({"ssid": "n", "password": "0aG9" * 16}, False),
    ],
)
def test_both_know_which_networks_there_can_be(network, good):
    record = SMALL | {"networks": [network]}
    assert (board_takes(record), host_takes(record)) == (good, good)


@pytest.mark.parametrize(
    ("table", "key", "limit"),
    [
        (table, key, limit)
        for table, kind, _, rows in KEYS
        for key, _, _, limit in (rows if kind == "group" else ())
        if isinstance(limit, tuple) and isinstance(limit[0], int)
    ],
)
def test_both_take_a_number_up_to_the_same_ends(table, key, limit):
    low, high = limit
    for value in (low - 1, low, low + 1, high - 1, high, high + 1):
        record = FULL | {table: FULL[table] | {key: value}}
        assert board_takes(record) == host_takes(record) == (low <= value <= high)


@pytest.mark.parametrize("key", ["user", "password"])
def test_both_take_a_credential_as_long_as_mqtt_writes_it(key):
    for text, good in (("x" * 65535, True), ("é" * 32767, True), ("é" * 32768, False)):
        record = FULL | {"broker": FULL["broker"] | {key: text}}
        assert board_takes(record) == host_takes(record) == good


@pytest.mark.parametrize("place", ["ssid", "prefix", "modules"])
def test_half_a_character_is_named(place):
    half = "x\udcff"  # what Python makes of an argument that is no UTF-8
    change = {"ssid": {"networks": [{"ssid": half}]}, "modules": {"modules": {"m": {"k": half}}}}
    with pytest.raises(UsageError, match=r"U\+DCFF"):
        check(SMALL | change.get(place, {place: half}))


def test_no_error_shows_a_password():
    for secret in ("s3cret", "s3cret" * 20, ["s3cret-in-a-list"]):
        for record in (
            SMALL | {"networks": [{"ssid": "x", "password": secret}]},
            SMALL | {"broker": {"host": "h", "password": [secret]}},
        ):
            with pytest.raises(UsageError) as error:
                check(record)
            assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("text", ["{", "", "[1]", '{"prefix": NaN}', "{'a': 1}"])
def test_a_file_that_is_no_json_object_is_named(tmp_path, text):
    (tmp_path / "board.json").write_text(text)
    with pytest.raises(UsageError, match=r"board\.json"):
        boardconfig.load(tmp_path / "board.json")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"board\.json"):
        boardconfig.load(tmp_path / "board.json")


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("host", {"host": "host"}),
        ("10.0.0.1:1884", {"host": "10.0.0.1", "port": 1884}),
        ("[fe80::1]", {"host": "fe80::1"}),
        ("[fe80::1]:1883", {"host": "fe80::1", "port": 1883}),
        ("fe80::1", {"host": "fe80::1"}),
    ],
)
def test_a_server_is_a_host_with_or_without_a_port(text, server):
    assert split_server(text) == server


@pytest.mark.parametrize("text", ["host:", "host:x", "host:-1", "[fe80::1]x"])
def test_a_server_with_a_wrong_port_is_refused(text):
    with pytest.raises(UsageError, match="HOST:PORT"):
        split_server(text)


def test_options_lie_over_a_file():
    config = Wish(prefix="other", server="h2:1").config(FULL)
    assert config["prefix"] == "other" and config["networks"] == FULL["networks"]
    assert config["broker"] == FULL["broker"] | {"host": "h2", "port": 1}
    assert FULL["prefix"] == "esp32/test"


def test_a_server_without_a_port_keeps_no_port_of_another():
    assert "port" not in Wish(server="h2").config(FULL)["broker"]
