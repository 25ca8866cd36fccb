"""Tests that docs/protocol.md has every limit of the wire, with its number."""

import re

import pytest

import mqwire
from mqhost.paths import ROOT
from mqwire import update

HOMES = {"": mqwire, "update.": update}
LIMITS = [
    (prefix + name, value)
    for prefix, module in HOMES.items()
    for name, value in vars(module).items()
    if name.startswith("MAX_") and (not prefix or not hasattr(mqwire, name))
]
# Of a field, not of what somebody may choose.
FIELDS = {"MAX_SEQ", "update.MAX_DATA"}


@pytest.mark.parametrize(("name", "value"), [item for item in LIMITS if item[0] not in FIELDS])
def test_a_limit_is_documented_with_its_number(name, value):
    text = (ROOT / "docs" / "protocol.md").read_text()
    assert re.search(rf"^\|[^|]+\| {value}( each)? \| `{name}` \|$", text, re.MULTILINE)
