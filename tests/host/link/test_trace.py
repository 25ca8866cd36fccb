"""Tests how the wire is shown: readable, and without secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mqwire
from mqhost.link.trace import beginning, describe


def test_a_command_has_its_size_its_header_and_its_text():
    topic = mqwire.command_topic("a", "eval", "id")
    assert describe(topic, mqwire.header(0, True) + b"45+876") == f"{topic}  8 B  #0 last  45+876"
    assert describe(topic, mqwire.header(3, False) + b"rest") == f"{topic}  6 B  #3  …"


def test_replies_errors_and_statuses_are_told_apart():
    reply = mqwire.reply_topic("a", "id")
    assert describe(reply, mqwire.SINGLE + b"921") == f"{reply}  5 B  #0 last  921"
    error = mqwire.error_topic("a", "id")
    assert describe(error, b"no\nway") == f"{error}  6 B  no\\nway"
    assert describe("a/mqb/status", b"{}", retained=True) == "a/mqb/status  2 B  retained  {}"
    assert describe(reply, b"x") == f"{reply}  1 B  x"  # no header: somebody else's
    assert describe("a/mqb/status", b"") == "a/mqb/status  0 B"


def test_a_long_text_is_cut_and_bytes_are_hex():
    assert beginning(b"x" * 100) == "x" * 72 + "…"
    assert beginning(b"x" * 9000) == "x" * 72 + "…"
    assert beginning(bytes(range(20))).startswith("00 01 02") and beginning(bytes(20))[-1] == "…"
    assert beginning("ü".encode() * 5000) == "ü" * 72 + "…"
    assert beginning(b"45+876\x01\xff") == "45+876…"  # a tag is behind it


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"user": "u", "password": "s3cret", "port": 1}', '{"user": "u", "password": "***", '),
        ('{"psk":1,"wifi_pass":"s3cret\\" x"}', '"wifi_pass":"***"}'),
        ("PASSWORD = 's3cret'", "PASSWORD = '***'"),
        ('{"password": "s3cret', '{"password": "***'),
        ('{"password": "s3cret\\', '{"password": "***'),
        ("x\n-----BEGIN EC PRIVATE KEY-----\ns3cret\n-----END", "x\\n***"),
        ('{"networks": [{"ssid": "n", "password": "s3cret"}]}', '"password": "***"}]}'),
    ],
)
def test_secrets_are_masked(text, shown):
    line = beginning(text.encode())
    assert shown in line and "s3cret" not in line


@given(st.binary(max_size=300), st.sampled_from(["a/mqb/cmd/x/y", "a/mqb/reply/out/y", "b"]))
def test_whatever_travels_is_one_line_that_prints(payload, topic):
    assert describe(topic, payload).isprintable()
