"""Tests that docs/architecture.md names what there is: paths, functions, and every room."""

import re

import pytest

from mqhost.paths import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
README = (ROOT / "README.md").read_text()
PLACES = (ROOT, ROOT / "frozen", ROOT / "frozen" / "mqboard")
LINKS = re.findall(r"\]\(([^)#]+)\)", PAGE)
FILES = re.findall(r"`([\w.]+/[\w./]*|\w+\.py)`", PAGE)
STEPS = re.findall(r"^\d+\. .*(?:\n   .*)*", PAGE, re.MULTILINE)


def rooms(package):
    folders = sorted((ROOT / package).iterdir())
    return [folder.name for folder in folders if (folder / "__init__.py").exists()]


def test_what_the_page_names_exists():
    assert len(LINKS) > 40 and len(FILES) > 20
    missing = [link for link in LINKS if not (ROOT / "docs" / link).exists()]
    missing += [file for file in FILES if not any((at / file).exists() for at in PLACES)]
    assert not missing


@pytest.mark.parametrize("step", STEPS, ids=lambda step: re.sub(r"\W+", " ", step)[:30])
def test_the_functions_of_a_step_are_in_the_files_it_names(step):
    files = [ROOT / "docs" / link for link in re.findall(r"\]\((\.\./[^)]+\.py)\)", step)]
    code = "".join(file.read_text() for file in files)
    functions = re.findall(r"`(\w+)\(\)`", step)
    assert files and functions
    assert [name for name in functions if f"def {name}(" not in code] == []


@pytest.mark.parametrize("package", ["host/mqhost", "frozen/mqboard"])
def test_every_room_is_on_the_page_and_in_the_readme(package):
    found = rooms(package)
    assert len(found) > 4
    for room in found:
        assert f"[`{room}`](../{package}/{room}/__init__.py)" in PAGE
        assert re.search(rf"\b{room}\b", README)


def test_the_readme_leads_here():
    assert "(docs/architecture.md)" in README
