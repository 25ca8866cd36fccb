"""Tests two real boards with one prefix, as after a configuration was copied by mistake."""

import json

import pytest
from waiting import wait_until

from mqhost.errors import RefusedError
from mqwire import status_topic

BOTH = 30.0  # seconds until they know of each other


@pytest.fixture
def twins(make_board):
    """Give two boards with one prefix, which know of each other."""
    first = make_board()
    one = first.wait_online()["id"]
    second = make_board(prefix=first.prefix)
    return first, second, one, wait_met(first, one)


def wait_met(board, one):
    """Wait until both boards know of each other; return the id of the one that is not `one`."""
    with board.session() as session:
        birth = board.wait_status(session, lambda status: status.get("twin"), BOTH)
    other = birth["twin"] if birth["id"] == one else birth["id"]
    for here, there in ((one, other), (other, one)):
        # The retained one is that of who spoke last; what each says of itself, its info tells.
        wait_until(lambda here=here, there=there: twin_of(board, here) == there, BOTH)
    return other


def twin_of(board, here):
    """Return which twin the board `here` knows of."""
    try:
        with board.session(id=here) as alone:
            info = alone.request_json("info")
    except RefusedError:  # the other has said last that it is there, and has met nobody yet
        return None
    assert info["id"] == here
    return info.get("twin")


def test_nothing_is_sent_to_two_boards_until_one_is_named_and_renamed(twins, firmware, broker):
    first, second, one, other = twins
    broker.restart()  # there are no wills, and nothing is retained: they meet anew
    assert wait_met(first, one) == other
    for command in (("eval", "1"), ("info",), ("ota", "--image", firmware.app)):
        code, _, err = first.mqboard(*command)
        assert code == 5, err
        assert one in err and other in err and "config set prefix=NEW" in err
    shown = json.loads(first.mqboard("boards", first.prefix, "--json")[1])
    assert {shown[0]["id"], shown[0]["twin"]} == {one, other}
    for board in (first, second):
        board.device.wait_console(f"has our prefix {first.prefix}, too")

    code, out, err = first.mqboard("--id", other, "config", "set", f"prefix={first.prefix}-renamed")
    assert code == 0 and f"Its prefix is {first.prefix}-renamed now." in out, err
    with first.session() as session:
        first.wait_status(session, lambda status: "twin" not in status)
        assert session.request_json("info")["id"] == one
    # Whoever removes its status, it puts it back.
    with first.session() as session:
        session.status()
        births = session.births
        session.connection._client.publish(status_topic(first.prefix), b"", 1, True)
        first.wait_status(session, lambda status: session.births > births)
    renamed = second.settings(prefix=f"{first.prefix}-renamed")
    second.prefix = renamed.prefix
    birth = second.wait_online()
    assert birth["id"] == other and "twin" not in birth


def test_with_a_key_each_of_them_takes_what_is_for_it(make_board):
    """The retained status is that of one of them, and has its nonce: the other says its own."""
    key = "one key for two boards"
    first = make_board(auth={"key": key})
    one = first.wait_online()["id"]
    make_board(prefix=first.prefix, auth={"key": key})
    with first.session() as session:
        birth = first.wait_status(session, lambda status: status.get("twin"), BOTH)
    ids = {birth["id"], birth["twin"]}
    assert one in ids and len(ids) == 2
    for board_id in sorted(ids):
        with first.session(id=board_id, auth_keys=(key,)) as alone:

            def asked(alone=alone):
                try:
                    return alone.request_json("info")["id"]
                except RefusedError:  # it has met nobody yet
                    return None

            assert wait_until(asked, BOTH) == board_id
