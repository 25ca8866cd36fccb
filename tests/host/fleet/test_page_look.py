"""Tests that the page can be read: its colours have the contrast that WCAG 2 asks."""

import re

import pytest

from mqhost.fleet.page.vendored import HERE

CSS = (HERE / "static" / "page.css").read_text()
DARK = CSS.index("@media (prefers-color-scheme: dark)")
TEXT, SHAPE = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11
PAIRS = [
    *((ink, sheet) for ink in ("ink", "quiet", "accent") for sheet in ("sheet", "paper")),
    *((state, sheet) for state in ("good", "warn", "bad") for sheet in ("sheet", f"{state}-tint")),
    *(("accent-ink", "accent"), ("accent", "tint"), ("ink", "tint"), ("quiet", "line")),
]


def colours(text):
    return dict(re.findall(r"--([\w-]+): #([0-9a-f]{6});", text))


LIGHT_ONES = colours(CSS[:DARK])
SETS = {"light": LIGHT_ONES, "dark": LIGHT_ONES | colours(CSS[DARK : CSS.index("*, *::before")])}


def brightness(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_as_the_standard_says():
    assert contrast("000000", "ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", SETS)
def test_what_is_written_can_be_read(scheme):
    assert SETS["light"] != SETS["dark"]
    found = {pair: contrast(*(SETS[scheme][name] for name in pair)) for pair in PAIRS}
    assert not {pair: value for pair, value in found.items() if value < TEXT}


@pytest.mark.parametrize("scheme", SETS)
def test_fields_can_be_told_from_the_sheet(scheme):
    assert contrast(SETS[scheme]["line-strong"], SETS[scheme]["sheet"]) >= SHAPE
