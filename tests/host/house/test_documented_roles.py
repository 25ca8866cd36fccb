"""Tests that docs/broker.md says of every command of mqboard which role suffices for it."""

import re

from documented import COMMANDS

from mqhost.broker.access import ROLES
from mqhost.cli.main import cli
from mqhost.paths import ROOT

_ROW = re.compile(r"^\| `mqboard ([a-z -]+)` \| `?(\w+)`? \|$", re.M)


def documented_roles():
    """Return {command line without its mqboard: the role that suffices, or "none"}."""
    return dict(_ROW.findall((ROOT / "docs/broker.md").read_text()))


def test_every_command_has_a_row():
    found = documented_roles()
    assert len(found) > 10
    for name in COMMANDS:
        words = name.split()[1:]
        assert words[0] in found or " ".join(words) in found, (
            f"docs/broker.md does not say which role {name} needs, in its table of commands"
        )


def test_every_row_is_of_a_command_and_a_role():
    for line, role in documented_roles().items():
        assert line.split()[0] in cli.commands, line
        assert role in (*ROLES, "none"), line
