"""Tests which files of a board are for those who may only look."""

import pytest

from mqhost.errors import UsageError
from mqhost.fleet.server.secretfiles import as_text, is_configuration, may_be_secret, normal
from mqhost.fleet.server.working.filework import check_goes


@pytest.mark.parametrize(
    "path",
    [
        "/config.json",
        "config.json",
        "//x/.././config.json",
        "/config.old.json",
        "/config.json.new",
        "/lib/CONFIG.py",
        "/certs/board.pem",
        "/board.KEY",
        "/keys/one",
        "/.env",
        "/data/.put-0123456789abcdef",
        "/secrets.py",
        "/webrepl_cfg.py",
    ],
)
def test_by_its_name_a_file_may_be_secret(path):
    assert may_be_secret(path)


@pytest.mark.parametrize("path", ["/main.py", "/data/monkey.csv", "/crash/1.json", "/a.b/x"])
def test_other_names_say_nothing_of_secrets(path):
    assert not may_be_secret(path)


@pytest.mark.parametrize(
    "data",
    [
        b"PASSWORD = 'x'",
        b'{"broker": {"Password": ""}}',
        b"wlan.connect('home', 'hunter2')",
        b"-----BEGIN RSA PRIVATE KEY-----",
        b"API_KEY=1",
        b"M\x06\x00\x1f\x00",
        b"\xff\xfe",
    ],
)
def test_by_its_content_a_file_may_be_secret(data):
    assert may_be_secret("/main.py", data)


@pytest.mark.parametrize("data", [b"", b"print('pump')\n", "pump läuft".encode()])
def test_plain_text_is_for_all(data):
    assert not may_be_secret("/main.py", data)


def test_a_path_means_what_it_means_to_boards():
    assert [normal(path) for path in ("", "/", "a/../..", "//a//b/.", "/../c")] == [
        *("/", "/", "/", "/a/b", "/c")
    ]
    assert is_configuration("x/../config.json") and not is_configuration("/app/config.json")


def test_what_is_no_text_is_told():
    assert as_text(b"\xef\xbb\xbfx\r\n") == "\ufeffx\r\n"
    assert as_text(b"a\0b") is None and as_text(b"\xff") is None


@pytest.mark.parametrize("path", ["/", "", "config.json", "/x/../config.json", "/.."])
def test_what_a_board_cannot_be_without_stays(path):
    with pytest.raises(UsageError, match="stays"):
        check_goes(path)
