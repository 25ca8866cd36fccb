"""Tests the links of README.md and docs/: their files are there, and the headings they lead to."""

import re

import pytest
from documented import PAGES

from mqhost.paths import ROOT

_LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")


def text_of(page):
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors_of(page):
    """Return the anchors that GitHub makes of the headings of a page."""
    found = []
    for heading in re.findall(r"^#{1,6} (.+)$", text_of(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return found


def links_of(page):
    """Return where the links of a page lead to: (file, anchor), those to other sites left out."""
    targets = [link for link in _LINK.findall(text_of(page)) if "://" not in link]
    split = [target.partition("#") for target in targets]
    return [(page if not name else (page.parent / name).resolve(), a) for name, _, a in split]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    for target, anchor in links_of(page):
        assert target.exists(), target
        assert target.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors_of(target), f"{target.name}#{anchor}"


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [target for target, _ in links_of(page) if target.suffix == ".md"]
    assert set(PAGES) <= reached


def test_every_picture_is_shown():
    pictures = {path.resolve() for path in (ROOT / "docs").rglob("*.svg")}
    shown = {target for page in PAGES for target, _ in links_of(page)}
    assert pictures and pictures <= shown


def test_headings_have_the_anchors_that_github_gives_them(tmp_path):
    page = tmp_path / "a.md"
    page.write_text("# A `b_c`: it's\n```sh\n# none\n```\n## A `b_c`: it's\n## /main.py & x\n")
    assert anchors_of(page) == ["a-b_c-its", "a-b_c-its-1", "mainpy--x"]
