"""Tests `--check`: what keeps a broker's folder from working, and what will, is found and named."""

import datetime
import os

import pytest
from userfile import HEAD, PASSWORD, users

from mqhost.broker import authority as certificates
from mqhost.broker import check as checking
from mqhost.broker.access import Access
from mqhost.broker.check import check
from mqhost.broker.configure import configure
from mqhost.errors import UsageError

TEXT = users(["farm/pump", "farm/gate" + PASSWORD], ["anna"])


@pytest.fixture
def made(tmp_path):
    configure(tmp_path / "mq", Access.parse(TEXT, "users.toml"), "users.toml")
    return tmp_path / "mq"


def look(made, text=TEXT):
    return check(made, Access.parse(text, "users.toml"), "users.toml")


def wrong(made, text=TEXT):
    return "\n".join(look(made, text).wrong)


def test_a_fresh_folder_is_in_order_but_for_the_key_that_lies_there(made):
    found = look(made)
    assert not found.wrong
    (advice,) = found.advice
    assert "The CA's key is here" in advice and str(made / "ca/ca.key") in advice
    os.unlink(made / "ca/ca.key")
    assert look(made) == checking.Findings((), ())


def test_a_file_that_others_can_read_is_named(made):
    for name in ("mosquitto/server.pem", "boards/farm-gate/config.json", "operators/anna/key.pem"):
        os.chmod(made / name, 0o644)
        assert f"{name} can be read by others (mode 644): chmod 600" in wrong(made)
        os.chmod(made / name, 0o600)
    assert not wrong(made)


def test_what_is_not_up_to_date_is_told(made):
    more = TEXT + '[[boards]]\nprefix = "new"\n'
    assert "users.toml was changed since: run mqboard broker-config again" in wrong(made, more)
    assert "boards/new/key.pem" in wrong(made, more)


def test_rules_that_somebody_edited_are_told(made):
    with (made / "mosquitto/acl").open("a") as file:
        file.write("topic read #\n")
    assert "mosquitto/acl is not as it was made" in wrong(made)


@pytest.mark.parametrize("name", ["server.pem", "revoked.pem", "acl", "mosquitto.conf", "ca.pem"])
def test_what_the_broker_needs_and_is_missing_or_broken_is_told(made, name):
    (made / "mosquitto" / name).write_bytes(b"x")
    assert f"mosquitto/{name}" in wrong(made)
    os.unlink(made / "mosquitto" / name)
    assert f"mosquitto/{name}" in wrong(made)


def test_a_certificate_of_another_ca_is_told(made):
    other = certificates.Authority.make("other")[0]
    issued = other.issue_server(["broker.lan"], 1000)
    (made / "mosquitto/server.pem").write_bytes(issued.certificate + issued.key)
    assert "no board would trust the broker" in wrong(made)


def test_a_certificate_for_other_names_is_told(made):
    assert "is for broker.lan, and not for new.lan" in wrong(made, TEXT.replace("broker.", "new."))


class Later(datetime.datetime):
    """Some time on: `ahead` from now."""

    ahead = datetime.timedelta()

    @classmethod
    def now(cls, zone=None):
        return datetime.datetime.now(zone) + cls.ahead


@pytest.mark.parametrize(
    ("days", "words", "bad"),
    [
        (1825 - 100, "The broker's certificate ends on", False),
        (1825 - 10, "The broker's certificate ends on", True),
        (1826, "The broker's certificate is not valid since", True),
        (7300 + 1, "The CA is not valid since", True),
    ],
)
def test_the_end_is_told_in_time(made, monkeypatch, days, words, bad):
    monkeypatch.setattr(checking, "datetime", Later)
    monkeypatch.setattr(Later, "ahead", datetime.timedelta(days=days))
    found = look(made)
    assert any(words in line for line in (found.wrong if bad else found.advice))


def test_a_certificate_from_elsewhere_is_looked_at_where_that_can_be(tmp_path):
    other = certificates.Authority.make("public CA")[0]
    issued = other.issue_server(["*.lan"], 1000)
    (tmp_path / "root.pem").write_bytes(other.pem)
    (tmp_path / "key.pem").write_bytes(issued.key)
    head = HEAD + "".join(
        f'server_{key} = "{tmp_path}/{name}.pem"\n'
        for key, name in (("ca", "root"), ("cert", "full"), ("key", "key"))
    )
    text = users(["pump"], head=head)
    configure(tmp_path / "mq", Access.parse(text, "users.toml"), "users.toml")
    advice = look(tmp_path / "mq", text).advice
    assert any("full.pem cannot be looked at here" in line for line in advice)
    (tmp_path / "full.pem").write_bytes(issued.certificate)
    assert not wrong(tmp_path / "mq", text)
    (tmp_path / "key.pem").write_bytes(other.issue_server(["*.lan"], 9).key)
    assert "are not a certificate and its key" in wrong(tmp_path / "mq", text)


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        look(tmp_path / "mq")
    with pytest.raises(UsageError, match="was not made by mqboard broker-config"):
        look(tmp_path)
