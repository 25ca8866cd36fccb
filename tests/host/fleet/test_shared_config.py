"""Tests that what boards share is laid over each one's configuration, and its own stays."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from mqhost.fleet.shared import lay_over, own_key, without_own

OWN = {
    "prefix": "farm/a",
    "hostname": "a",
    "networks": [
        {"ssid": "barn", "password": "<secret networks.0.password>", "static": {"address": "1"}},
        {"ssid": "old"},
    ],
    "broker": {"host": "h", "user": "a", "password": "<secret broker.password>"},
    "modules": {"blink": {"pin": 2}},
}


def test_what_is_said_is_laid_over_and_all_else_stays():
    made = lay_over(OWN, {"broker": {"host": "other"}, "ntp": "n", "modules": {"pump": {}}})
    assert made["broker"] == OWN["broker"] | {"host": "other"}
    assert made["modules"] == {"blink": {"pin": 2}, "pump": {}}
    assert made["ntp"] == "n"
    assert {key: made[key] for key in ("prefix", "hostname", "networks")} == {
        key: OWN[key] for key in ("prefix", "hostname", "networks")
    }


def test_a_network_keeps_the_address_that_the_board_has_in_it():
    made = lay_over(OWN, {"networks": [{"ssid": "new"}, {"ssid": "barn", "password": "x"}]})
    assert made["networks"] == [
        {"ssid": "new"},
        {"ssid": "barn", "password": "x", "static": {"address": "1"}},
    ]


def test_what_is_a_boards_own_is_left_out_and_named():
    record = OWN | {"ethernet": {"mdc": 1, "static": {"address": "2"}}, "ntp": "n"}
    before = copy.deepcopy(record)
    shared, own = without_own(record)
    assert own == ["prefix", "hostname", "networks.0.static", "ethernet.static"]
    assert shared["ethernet"] == {"mdc": 1} and shared["broker"] == OWN["broker"]
    assert record == before
    assert without_own(shared) == (shared, [])
    assert own_key("prefixes") == own_key("networks.0.ssid") == own_key("broker.host") == ""
    assert own_key("networks.10.static.address") == "networks.10.static"


SMALL = st.sampled_from([None, 1, "x", [], {}, {"a": 1}, {"static": 2}]).map(copy.deepcopy)
NETWORKS = st.lists(
    SMALL | st.fixed_dictionaries({}, optional={"ssid": SMALL, "static": SMALL}), max_size=3
)
RECORDS = st.fixed_dictionaries(
    {}, optional={"networks": SMALL | NETWORKS} | dict.fromkeys(("prefix", "ethernet", "a"), SMALL)
)


@given(RECORDS, RECORDS)
def test_whatever_is_laid_over_what(own, record):
    shared, _ = without_own(record)
    before = copy.deepcopy((own, shared))
    made = lay_over(own, shared)
    assert made.get("prefix") == own.get("prefix")
    assert set(made) == set(own) | set(shared)
    assert lay_over(made, shared) == made  # the second time nothing changes
    assert lay_over(own, {}) == own
    assert (own, shared) == before
