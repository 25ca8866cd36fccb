"""Tests that docs/broker.md says of every command of mqboard which role suffices for it."""

import re
from dataclasses import fields

import pytest
from documented import COMMANDS

from mqhost.broker.access import ROLES, Access, Board, Operator, Site
from mqhost.cli.main import cli
from mqhost.paths import ROOT

_ROW = re.compile(r"^\| `mqboard ([a-z -]+)` \| `?(\w+)`? \|$", re.M)


PAGE = (ROOT / "docs/broker.md").read_text()


def documented_roles():
    """Return {command line without its mqboard: the role that suffices, or "none"}."""
    return dict(_ROW.findall(PAGE))


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


@pytest.mark.parametrize("kind", [Site, Board, Operator])
def test_every_key_of_the_file_is_documented(kind):
    examples = re.findall(r"^(\w+) = ", PAGE, re.M)
    for item in fields(kind):
        assert f"`{item.name}`" in PAGE or item.name in examples, item.name


def test_the_examples_of_the_file_are_taken():
    examples = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
    assert len(examples) > 1
    for text in examples:
        assert Access.parse(text, "docs/broker.md", ("broker.lan",)).boards
