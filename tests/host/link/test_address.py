"""Tests which board at a prefix commands go to, by what the boards there say."""

import pytest

from mqhost.errors import RefusedError
from mqhost.link.address import Address
from mqwire.twins import UNKNOWN

PREFIX = "esp32/test"
ONE, OTHER = "240ac4000001", "240ac4000002"


def birth(board_id=ONE, **more):
    return {"state": "online", "id": board_id} | more


def leaving(board_id=ONE):
    return {"state": "offline", "id": board_id}


def address(*statuses, wanted="", retained=False):
    made = Address(PREFIX, wanted)
    for status in statuses:
        made.hear(status, retained)
    return made


@pytest.mark.parametrize(
    "statuses",
    [
        [],
        [None],
        [birth()],
        [{"state": "online"}],
        [leaving()],
        [birth(twin=OTHER), leaving(OTHER), birth()],
        [birth(), birth(boot_id="2"), leaving(), birth()],
        [{"state": "online"}, {"state": "offline"}, birth()],  # updated from firmware without ids
    ],
)
def test_one_board_is_reached_by_its_prefix(statuses):
    assert address(*statuses).root() == PREFIX


@pytest.mark.parametrize("statuses", [[birth(twin=OTHER)], [birth(), birth(OTHER)]])
def test_of_two_none_is_reached_until_one_is_named(statuses):
    with pytest.raises(RefusedError) as caught:
        address(*statuses).root()
    for word in (ONE, OTHER, f"mqboard --prefix {PREFIX} --id {ONE} config set prefix=NEW"):
        assert word in str(caught.value)
    for one in (ONE, OTHER):
        assert address(*statuses, wanted=one).root() == f"{PREFIX}/mqb/id/{one}"


@pytest.mark.parametrize("wanted", ["3", "24", OTHER + "1", UNKNOWN])
def test_a_name_for_none_of_them_or_for_both_is_refused(wanted):
    with pytest.raises(RefusedError, match="No one board"):
        address(birth(twin=OTHER), wanted=wanted).root()


def test_a_named_board_that_is_the_only_one_is_reached_as_always():
    assert address(birth(), wanted=ONE[:6]).root() == PREFIX
    assert address(wanted=ONE).root() == PREFIX  # it will answer or not
    assert address(birth(), leaving(), wanted=ONE).root() == PREFIX
    for other in (birth(OTHER), {"state": "online"}):
        with pytest.raises(RefusedError, match="Nothing was sent"):
            address(other, wanted=ONE).root()


def test_a_board_without_an_id_cannot_be_named():
    known = address(birth(twin=UNKNOWN))
    with pytest.raises(RefusedError, match=UNKNOWN):
        known.root()
    known.wanted = UNKNOWN
    with pytest.raises(RefusedError):
        known.root()


def test_only_the_status_of_the_board_that_is_meant_counts():
    known = Address(PREFIX, OTHER)
    assert not known.hear(birth(twin=OTHER))
    assert known.hear(birth(OTHER, twin=ONE))
    assert not known.hear(None)
    assert Address(PREFIX).hear(None)


def test_a_retained_birth_of_a_board_that_was_replaced_is_no_second_board():
    known = Address(PREFIX)
    known.hear(birth(OTHER), retained=True)
    known.hear(birth(), retained=False)
    assert known.root() == PREFIX
    known.hear(birth(OTHER), retained=False)  # it speaks
    with pytest.raises(RefusedError):
        known.root()


@pytest.mark.parametrize("value", [5, [], {}, True, "a/b", "#", "ü", "x" * 1000, "a b", ""])
def test_an_id_that_is_none_is_unknown(value):
    with pytest.raises(RefusedError):
        address(birth(value), birth(), wanted=UNKNOWN).root()
    assert address(birth(value)).root() == PREFIX


def test_the_board_that_answers_is_there_whatever_the_retained_status_says():
    for stale in ({"state": "online"}, birth(OTHER)):
        known = Address(PREFIX)
        known.hear(stale)
        known.hold_to(ONE)
        assert known.root() == PREFIX
    two = address(birth(twin=OTHER))
    two.hold_to(ONE)
    assert two.root() == f"{PREFIX}/mqb/id/{ONE}"


def test_a_board_that_is_given_firmware_without_ids_is_still_the_one_we_held_to():
    known = address(birth())
    known.hold_to(ONE)
    assert known.hear(leaving(), False)
    assert known.hear({"state": "online", "boot_id": "2"}, False)
    assert known.root() == PREFIX
    assert known.hear({"state": "offline", "reason": "connection lost"}, False)
    assert known.root() == PREFIX
    assert not Address(PREFIX, ONE).hear({"state": "online"})  # it was named, and has not answered
