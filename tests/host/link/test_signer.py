"""Tests that commands get the tag that their board wants, and what is said without its key."""

import hashlib
import hmac
import itertools
import json
import struct
import threading

import pytest
from fakeboard import FakeBoard

import mqwire
from mqhost.errors import RefusedError, UsageError
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.link.signer import Signer, nonce_of
from mqwire import auth, rules

KEY, OTHER_KEY = "a key that is random enough", "another that is random enough"
TOPIC = "küche/mqb/cmd/eval/abcdefgh"


def facts(key=KEY, nonce=b"n" * auth.NONCE_SIZE):
    return {"nonce": nonce.hex(), "key": auth.Maker(hashlib.sha256, key).name()}


@pytest.mark.parametrize("size", [20, 63, 64, 65, 200])
def test_a_tag_is_what_any_hmac_makes_of_it(size):
    key, nonce, message = "é" * size, b"n" * auth.NONCE_SIZE, b"\x80\x0045+876"
    sealed = Signer(key).sealed(facts(key), TOPIC, message)
    assert sealed.startswith(message) and len(sealed) == len(message) + auth.TRAILER_SIZE
    numbered = sealed[len(message) : -auth.TAG_SIZE]
    assert numbered.endswith(b"\0\0\0\1")
    text = nonce + numbered + struct.pack(">H", len(TOPIC.encode())) + TOPIC.encode() + message
    assert sealed[-auth.TAG_SIZE :] == hmac.digest(key.encode(), text, "sha256")[: auth.TAG_SIZE]
    name = hmac.digest(key.encode(), b"mqboard key", "sha256")[:4].hex()
    assert facts(key)["key"] == name


def test_each_message_has_a_number_of_its_own_whatever_thread_it_comes_from():
    signer, sealed = Signer(KEY), []

    def send():
        for _ in range(100):
            sealed.append(signer.sealed(facts(), TOPIC, b"\x80\x00")[2:14])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({numbered[:8] for numbered in sealed}) == 1
    assert sorted(struct.unpack(">I", one[8:])[0] for one in sealed) == list(range(1, 401))


def test_with_another_nonce_we_are_another_sender_who_begins_anew():
    signer = Signer(KEY)
    first, second = (
        signer.sealed(facts(nonce=bytes([byte]) * auth.NONCE_SIZE), TOPIC, b"") for byte in (1, 2)
    )
    assert first[:8] != second[:8] and first[8:12] == second[8:12] == b"\0\0\0\1"


def test_a_board_that_wants_no_tag_gets_none():
    for wanted in (None, "?", 5, []):
        assert Signer(KEY).sealed(wanted, TOPIC, b"message") == b"message"


def test_no_key_and_another_key_are_two_sentences_and_neither_tells_a_key():
    wanted = facts()
    with pytest.raises(RefusedError, match="no key here: set MQBOARD_AUTH_KEY, or auth_key in"):
        Signer().sealed(wanted, TOPIC, b"")
    with pytest.raises(RefusedError, match="the one here is another") as caught:
        Signer(OTHER_KEY).sealed(wanted, TOPIC, b"")
    assert OTHER_KEY not in str(caught.value)
    assert Signer(OTHER_KEY, KEY).sealed(wanted, TOPIC, b"")


@pytest.mark.parametrize("nonce", [None, 5, "xyz", [], {}])
def test_a_nonce_that_is_none_is_none(nonce):
    assert nonce_of({"nonce": nonce}) == nonce_of(nonce) == nonce_of({}) == b""


def test_every_key_that_is_known_counts_and_none_shows(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    text = f'auth_key = "{KEY}"\n[boards.pump]\nprefix = "farm/pump"\nauth_key = "{OTHER_KEY}"\n'
    (tmp_path / "mqboard.toml").write_text(text)
    environment = {"MQBOARD_AUTH_KEY": "a third"}
    for options in ({}, {"to": "pump"}, {"prefix": "farm/pump"}):
        found = Settings.resolve(options, environment=environment, folder=tmp_path)
        assert found.auth_keys == ("a third", KEY, OTHER_KEY)
        assert KEY not in repr(found) and OTHER_KEY not in repr(found)
    (tmp_path / "mqboard.toml").unlink()
    assert Settings.resolve(environment={}, folder=tmp_path).auth_keys == ()
    with pytest.raises(UsageError, match="half a character"):
        Settings(auth_keys=("\ud800",))


def test_a_file_with_a_key_that_others_can_read_is_told(tmp_path):
    file = tmp_path / "mqboard.toml"
    file.write_text(f'[boards.pump]\nprefix = "farm/pump"\nauth_key = "{KEY}"\n')
    told = []
    for mode in (0o644, 0o600):
        file.chmod(mode)
        Settings.resolve(environment={}, folder=tmp_path, warn=told.append)
    assert len(told) == 1 and "has a secret in it" in told[0] and KEY not in told[0]


def test_a_key_has_a_size():
    for size, good in ((19, False), (20, True), (200, True), (201, False)):
        record = {"prefix": "p", "networks": [{"ssid": "n"}], "broker": {"host": "h", "tls": False}}
        wrong = rules.read(record | {"auth": {"key": "k" * size}}, type("Values", (), {})())
        assert [severity for severity, _, _ in wrong] == [rules.FAULT] * (not good)
        assert "kkk" not in str(wrong)


class Picky(FakeBoard):
    """A board that takes one nonce, and draws it when it is told to; `says`: when it refuses."""

    def __init__(self, port):
        super().__init__(port)
        self.numbers = itertools.count(1)
        self.draw()
        self.answer = self.take
        self.bodies = []
        self.refusals = 0
        self.says = ("nonce",)

    def draw(self):
        self.nonce = bytes([next(self.numbers)]) * auth.NONCE_SIZE
        self.facts["auth"] = facts(nonce=self.nonce)

    def take(self, command, ident, body):
        maker = auth.Maker(hashlib.sha256, KEY)
        body, trailer = body[: -auth.TRAILER_SIZE], body[-auth.TRAILER_SIZE :]
        topic = mqwire.command_topic(self.prefix, command, ident)
        message = mqwire.header(0, True) + body
        if maker.tag(self.nonce, topic, message, trailer[:12]) != trailer[12:]:
            return self.turn_away(ident)
        self.bodies.append(body)
        return [(mqwire.reply_topic(self.prefix, ident), mqwire.SINGLE + b"done")]

    def turn_away(self, ident):
        self.refusals += 1
        self._recent.clear()  # what was refused was not taken
        if "status" in self.says:
            self.announce()
        text = auth.NO_TAG
        if "nonce" in self.says:
            text += ": " + json.dumps(self.facts["auth"])
        answer = mqwire.error_topic(self.prefix, ident), text.encode()
        return [answer] if self.says else []


@pytest.fixture
def picky(broker):
    with Picky(broker.port) as board:
        yield board


def settings_of(board, **changes):
    values = {"server": "127.0.0.1", "port": board.port, "prefix": board.prefix, "timeout": 10}
    return Settings(**values | {"auth_keys": (KEY,)} | changes)


@pytest.mark.parametrize("says", [("nonce",), ("status",), ("status", "nonce")])
def test_a_command_for_a_nonce_of_before_is_tagged_anew_and_done_once(picky, says):
    picky.says = says
    with Session(settings_of(picky)) as session:
        assert session.request("eval", b"1").data == b"done"
        picky.draw()  # and does not say so before it has refused one
        with session.open("eval") as exchange:
            exchange.send(b"2")
            looks = iter(lambda: exchange.receive(0.2), ())  # as those do who look often
            assert next(filter(None, itertools.islice(looks, 50))).data == b"done"
    assert picky.bodies[:2] == [b"1", b"2"] and set(picky.bodies) == {b"1", b"2"}
    assert picky.refusals == 1


def test_a_board_that_refuses_for_ever_is_given_up(picky):
    with Session(settings_of(picky, timeout=0.5)) as session:
        assert session.request("eval", b"1").data == b"done"
        picky.nonce = b"?" * auth.NONCE_SIZE
        with pytest.raises(RefusedError, match="though the key is the same"):
            session.request("eval", b"2")


def test_who_has_no_key_is_told_so_after_a_refusal_too(picky):
    with Session(settings_of(picky, auth_keys=())) as session:
        session.status()
        session._wanted = None  # as if nothing had come yet
        with pytest.raises(RefusedError, match="no key here"):
            session.request("eval", b"1")


def test_a_board_whose_status_is_not_there_says_what_it_wants_when_it_refuses(picky):
    with Session(settings_of(picky)) as session:
        session.status()
        session._wanted = None
        assert session.request("eval", b"1").data == b"done"
    assert picky.refusals == 1


def test_a_board_without_a_status_gets_its_command_as_it_is(broker):
    with FakeBoard(broker.port, "no/status") as board:
        board._client.publish(mqwire.status_topic(board.prefix), b"", 1, True).wait_for_publish(10)
        with Session(settings_of(board)) as session:
            assert session.request("eval", b"45+876").data == b"921"
