"""Tests the groups of mqboard.toml that a server knows."""

import pytest

from mqhost.cli.edge import Edge
from mqhost.errors import UsageError
from mqhost.fleet.server.groups import Groups

TOML = """
server = "north.example"
[brokers.north]
server = "north.example"
[brokers.south]
server = "south.example"
password_env = "NO_SUCH_VARIABLE"
[boards.pump]
prefix = "farm/pump"
[boards.mill]
prefix = "mill/one"
broker = "south"
[groups.farm]
boards = ["pump", "farm/+"]
[groups.named]
broker = "north"
boards = ["x/#"]
[groups.elsewhere]
boards = ["mill"]
[groups.both]
boards = ["mill", "pump"]
broker = "south"
[groups.wrong]
boards = ["a/#/b"]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name in ("MQBOARD_SERVER", "MQBOARD_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mqboard.toml"


def test_those_of_this_broker_count(here):
    here.write_text(TOML)
    assert Edge({}, False).groups() == {"farm": ("farm/pump", "farm/+"), "named": ("x/#",)}


def test_it_is_read_again_when_it_has_changed_and_may_be_wrong_for_a_while(here, monkeypatch):
    monkeypatch.setattr("mqhost.fleet.server.groups._FRESH", 0.0)
    groups = Groups(Edge({"server": "north.example"}, False).groups)
    assert groups.names() == []
    here.write_text(TOML)
    assert groups.names() == ["farm", "named"]
    assert groups.patterns("named") == ("x/#",)
    here.write_text("[groups")
    assert groups.names() == []
    with pytest.raises(UsageError, match="cannot be read"):
        groups.patterns("farm")
