"""Tests what stands between a tag and what is published: the packages, and the changelog."""

import pytest

from ci.release import CHANGELOG, UNRELEASED, main, notes, sections
from mqhost.build.revision import project_version
from mqhost.errors import UsageError
from mqhost.paths import ROOT

TEXT = """# Changes

## [1.2.3] - 2026-05-04

### Added

- A thing.

## [1.2.2] - 2026-01-01

- Another.
"""


@pytest.fixture
def dist(tmp_path):
    for name in ("mqboard-1.2.3-py3-none-any.whl", "mqboard-1.2.3.tar.gz"):
        (tmp_path / name).touch()
    return tmp_path


def test_the_changelog_begins_with_what_comes_next_or_the_newest_release():
    found = sections(CHANGELOG.read_text(encoding="utf-8"))
    versions = [version for version, _, _ in found]
    assert versions[0] in (UNRELEASED, project_version(ROOT))
    assert UNRELEASED not in versions[1:] and len(set(versions)) == len(versions)
    for version, date, text in found:
        assert bool(date) == (version != UNRELEASED), version
        kinds = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
        headings = [line[4:] for line in text.splitlines() if line.startswith("### ")]
        assert headings and set(headings) <= set(kinds), version


def test_a_release_is_told_in_the_words_of_the_changelog(dist):
    assert notes("v1.2.3", dist, TEXT) == "### Added\n\n- A thing."


@pytest.mark.parametrize(
    ("tag", "text", "said"),
    [
        ("v1.2.4", TEXT, "and v1.2.4 is mqboard-1.2.4-py3-none-any.whl and mqboard-1.2.4.tar.gz"),
        ("v1.2-field", TEXT, "no tag of a release"),
        ("v1.2.3", TEXT.replace("[1.2.3] - 2026-05-04", "[Unreleased]"), r"begins with \[Unrel"),
        ("v1.2.3", TEXT.replace("[1.2.3] - 2026-05-04", "[1.2.3]"), "YYYY-MM-DD"),
    ],
)
def test_what_is_not_the_release_that_the_tag_names_is_refused(dist, tag, text, said):
    with pytest.raises(UsageError, match=said):
        notes(tag, dist, text)


def test_what_was_changed_since_the_tag_is_no_release(dist):
    (dist / "mqboard-1.2.3.tar.gz").rename(dist / "mqboard-1.2.3+dirty.tar.gz")
    with pytest.raises(UsageError, match="nothing changed in the checkout"):
        notes("v1.2.3", dist, TEXT)


def test_the_workflow_sees_it_fail(dist, capsys):
    assert main(["v9.9.9", str(dist)]) == 2
    assert "v9.9.9" in capsys.readouterr().err
