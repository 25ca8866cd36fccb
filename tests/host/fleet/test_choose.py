"""Tests which boards are chosen at a broker, and what is said when there are none."""

import pytest
from fakeboard import FakeBoard

from mqhost.errors import SilentBoardError, UsageError
from mqhost.fleet.choose import choose
from mqhost.fleet.where import Where
from mqhost.link.connection import Connection


@pytest.fixture
def connection(settings):
    made = Connection(settings)
    made.connect()
    yield made
    made.close()


@pytest.fixture
def root(broker, prefix):
    """Run boards a and b below a root of their own; b is in safe mode."""
    with FakeBoard(broker.port, f"{prefix}/a"), FakeBoard(broker.port, f"{prefix}/b") as second:
        second.facts["mode"] = "safe"
        second.announce()
        yield prefix


def test_patterns_and_conditions_choose_together(connection, root):
    def chosen(condition, *patterns):
        where = Where.parse(condition) if condition else None
        return list(choose(connection, patterns or (f"{root}/+",), where))

    assert chosen("") == [f"{root}/a", f"{root}/b"]
    assert chosen("mode==safe") == [f"{root}/b"]
    assert chosen("mode!=safe", f"{root}/a", f"{root}/b", f"{root}/c") == [f"{root}/a"]
    assert chosen(f"prefix ~ '{root}/*' and not mode==safe", "#") == [f"{root}/a"]


def test_who_is_named_and_never_was_there_is_chosen_unless_there_is_a_condition(connection, root):
    named = (f"{root}/a", f"{root}/c")
    found = choose(connection, named)
    assert found[f"{root}/a"].online and found[f"{root}/c"] is None
    assert list(choose(connection, named, Where.parse("mode!=safe"))) == [f"{root}/a"]


def test_nobody_is_an_error_that_says_among_whom(connection, root):
    with pytest.raises(SilentBoardError, match=f"No board at {root}/x/\\+ has announced itself at"):
        choose(connection, (f"{root}/x/+",))
    with pytest.raises(SilentBoardError, match=f"No board at {root}/c or {root}/d has announced"):
        choose(connection, (f"{root}/c", f"{root}/d"), Where.parse("mode==safe"))
    with pytest.raises(SilentBoardError, match=r"for which 'mode==odd' holds, among 2\."):
        choose(connection, (f"{root}/+",), Where.parse("mode==odd"))
    with pytest.raises(UsageError, match="no board says anything of moed. Did you mean mode"):
        choose(connection, (f"{root}/+",), Where.parse("moed==safe"))
