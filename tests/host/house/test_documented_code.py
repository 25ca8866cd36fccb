"""Tests that the Python, JSON and TOML which the documents show can be read as that."""

import ast
import json
import re
import tomllib

import pytest
from documented import PAGES

from mqhost.paths import ROOT

READERS = {"python": ast.parse, "json": json.loads, "toml": tomllib.loads}
BLOCKS = [
    (page.relative_to(ROOT).as_posix(), kind, text)
    for page in PAGES
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.M | re.S)
    if kind in READERS
]


def name_of(value):
    return value if isinstance(value, str) and len(value) < 40 else ""


@pytest.mark.parametrize(("page", "kind", "text"), BLOCKS, ids=name_of)
def test_a_block_is_what_it_says(page, kind, text):
    READERS[kind](text)


def test_there_are_some_of_each():
    assert {kind for _, kind, _ in BLOCKS} == READERS.keys() and len(BLOCKS) > 20
