"""Tests password hashes against mosquitto's own tool."""

import subprocess

import pytest

from mqhost.broker.passwords import (
    hash_password,
    is_password,
    make_password,
    read_passwords,
    write_passwords,
)
from mqhost.errors import UsageError


@pytest.mark.parametrize("password", ["secret", "pässwörd 😀", "", "x" * 200])
def test_a_hash_is_that_of_its_password_only(password):
    hashed = hash_password(password)
    assert is_password(password, hashed)
    assert not is_password(password + "x", hashed)
    assert hash_password(password) != hashed  # another salt


def test_what_mosquittos_tool_writes_is_understood(tmp_path):
    path = tmp_path / "passwords"
    for name, password in (("anna", "pässwörd"), ("pump", "b")):
        create = [] if path.exists() else ["-c"]
        subprocess.run(["mosquitto_passwd", *create, "-b", path, name, password], check=True)
    hashes = read_passwords(path.read_text(), "passwords")
    assert is_password("pässwörd", hashes["anna"]) and is_password("b", hashes["pump"])
    assert not is_password("b", hashes["anna"])


@pytest.mark.parametrize("hashed", ["", "$", "$6$a$b", "$7$x$AAAA$AAAA", "$7$101$?$AAAA", "$7$0$$"])
def test_what_is_no_such_hash_is_nobodys(hashed):
    assert not is_password("", hashed)


def test_a_file_is_read_as_it_was_written():
    hashes = {"b": hash_password("x"), "a": hash_password("y")}
    text = write_passwords(hashes)
    assert read_passwords("# comment\n\n" + text, "passwords") == hashes
    assert [line[0] for line in text.splitlines()] == ["a", "b"]


def test_a_password_that_is_not_hashed_is_named_but_not_shown():
    with pytest.raises(UsageError, match="'anna'") as caught:
        read_passwords("anna:secret\n", "passwords")
    assert "secret" not in str(caught.value)


def test_passwords_differ_and_are_long():
    assert len({make_password() for _ in range(100)}) == 100
    assert len(make_password()) == 32
