"""Tests the pictures of the page that are in docs/pictures: all there, small, shown to readers."""

import struct

from ci.docs.pictures import PICTURES, SHOTS
from mqhost.paths import ROOT

LARGEST = 120_000  # bytes of a picture


def test_every_picture_is_there_and_small():
    assert {path.stem for path in PICTURES.glob("*.png")} == {shot.name for shot in SHOTS}
    for shot in SHOTS:
        png = (PICTURES / f"{shot.name}.png").read_bytes()
        assert png.startswith(b"\x89PNG\r\n\x1a\n") and len(png) <= LARGEST, shot.name
        width, height = struct.unpack(">II", png[16:24])
        assert round(width / height, 2) == round(shot.size[0] / shot.size[1], 2)


def test_every_picture_is_shown_to_readers():
    readme, page = (ROOT / "README.md").read_text(), (ROOT / "docs" / "page.md").read_text()
    for shot in SHOTS:
        assert f"docs/pictures/{shot.name}.png" in readme or f"](pictures/{shot.name}.png" in page
