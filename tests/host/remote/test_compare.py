"""Tests what differs between a folder here and what a board says that it has."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqhost.remote.compare import Difference, difference
from mqhost.remote.records import Entry
from mqhost.remote.trees import local_tree


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.py").write_bytes(b"a")
    (tmp_path / "lib" / "b.py").write_bytes(b"b")
    return tmp_path


SAME = [
    Entry("a.py", 1, 5, sha(b"a")),
    Entry("empty", None),
    Entry("lib", None),
    Entry("lib/b.py", 1, 5, sha(b"b")),
]


def told(folder, found):
    return difference(*local_tree(folder), found)


def test_what_is_the_same_differs_in_nothing(folder):
    assert told(folder, SAME) == Difference() and not told(folder, SAME)


def test_other_bytes_missing_files_and_folders_and_what_is_only_there(folder):
    found = [
        Entry("a.py", 1, 5, sha(b"other")),
        Entry("old", None),
        Entry("old/deep", None),
        Entry("old/deep/x", 1, 5, sha(b"x")),
    ]
    differs = told(folder, found)
    assert set(differs.changed) == {"a.py", "lib/b.py"}
    assert differs.folders == ["empty", "lib"]
    assert [entry.path for entry in differs.surplus] == ["old/deep/x", "old/deep", "old"]


def test_what_is_of_another_kind_has_to_go_first(folder):
    found = [Entry("a.py", None), Entry("a.py/x", 0, 5, sha(b"")), Entry("lib", 1, 5, sha(b"l"))]
    differs = told(folder, found)
    assert [entry.path for entry in differs.surplus] == ["a.py/x", "a.py", "lib"]
    assert set(differs.changed) == {"a.py", "lib/b.py"} and "lib" in differs.folders


def test_a_file_whose_hash_the_board_cannot_tell_differs(folder):
    found = [Entry("a.py", 1, 5, None), *SAME[1:]]
    assert set(told(folder, found).changed) == {"a.py"}


@given(st.dictionaries(st.sampled_from(["a", "b", "c/d", "c/e/f"]), st.binary(max_size=2)))
def test_after_what_differs_was_carried_nothing_differs(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("tree")
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    differs = difference(*local_tree(folder), [])
    carried = [Entry(path, None) for path in differs.folders]
    carried += [Entry(path, 1, 5, sha(at.read_bytes())) for path, at in differs.changed.items()]
    assert not difference(*local_tree(folder), carried)
