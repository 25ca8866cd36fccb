"""Tests the history of prompts: what is kept, for whom, how much of it, and what is not."""

import os
import stat
import threading

import pytest

from mqhost.cli.prompt.history import MOST, MOST_BYTES, KeptHistory, is_secret


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "mqboard" / "repl-history"


def loaded(path):
    return list(KeptHistory(path).load_history_strings())


def test_what_was_stored_comes_back_the_newest_first(path):
    history = KeptHistory(path)
    assert list(history.load_history_strings()) == []
    block = "def f():\n    return 'ü\\n'\n"
    history.store_string("first")
    history.store_string(block)
    assert loaded(path) == [block, "first"]


def test_it_is_its_owners_alone(path):
    path.parent.mkdir(parents=True)
    path.write_text('"old"\n')
    path.chmod(0o644)
    KeptHistory(path).store_string("new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert loaded(path) == ["new", "old"]


def test_a_new_folder_is_its_owners_alone(path):
    KeptHistory(path).store_string("new")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_there_are_only_so_many(path):
    history = KeptHistory(path)
    for number in range(MOST + 5):
        history.store_string(f"x = {number}")
    entries = loaded(path)
    assert len(entries) == MOST and entries[0] == f"x = {MOST + 4}"
    assert len(path.read_bytes().splitlines()) == MOST


def test_a_history_of_long_texts_is_cut_to_half_of_its_room(path):
    history = KeptHistory(path)
    for number in range(12):
        history.store_string(f"{number}" + "x" * (MOST_BYTES // 10))
    entries = loaded(path)
    assert [int(entry.partition("x")[0]) for entry in entries] == [11, 10, 9, 8]
    assert path.stat().st_size < MOST_BYTES // 2
    assert loaded(path) == entries


def test_prompts_side_by_side_lose_nothing(path):
    def type_much(letter):
        history = KeptHistory(path)
        for number in range(50):
            history.store_string(f"{letter} = {number}")
            list(history.load_history_strings())

    threads = [threading.Thread(target=type_much, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(loaded(path)) == sorted(f"{letter} = {n}" for letter in "ab" for n in range(50))


def test_what_is_no_entry_is_left_out(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b'"one"\n5\n{\n\xff\n\n"two"\n"three')
    assert loaded(path) == ["two", "one"]


def test_half_characters_are_no_error(path):
    KeptHistory(path).store_string("x = '\udcff'")
    assert loaded(path) == ["x = '?'"]


def test_what_cannot_be_kept_is_known(path):
    path.parent.parent.mkdir()
    path.parent.write_text("a file where the folder should be")
    history = KeptHistory(path)
    assert list(history.load_history_strings()) == []
    history.store_string("x")
    assert str(path) in history.failure
    assert os.path.isfile(path.parent)


@pytest.mark.parametrize(
    "text",
    [
        "password = 'hush'",
        'wlan.connect("home", "hush")',
        "settings['api_key'] = 'hush'",
        "config = {'token': b'hush'}",
        "login(secret='hush')",
        "set_password('hush')",
        " x = 5",
    ],
)
def test_secrets_are_not_for_a_file(text, path):
    assert is_secret(text)
    KeptHistory(path).store_string(text)
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "x = 'plain'",
        "for key in d: print(d[key])",
        "board.config",
        "d.keys()",
        "wlan.isconnected()",
    ],
)
def test_other_texts_are(text):
    assert not is_secret(text)
