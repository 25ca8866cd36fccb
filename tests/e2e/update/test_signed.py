"""Tests whose firmware a board takes, how old it may be, and when it may follow a rollback."""

import json
from dataclasses import replace

import pytest
from rsakeys import rsa_key
from signed import signed_offer, write_image

from mqhost.build import build as build_module
from mqhost.build.build import build
from mqhost.build.revision import Revision
from mqhost.errors import RefusedError
from mqhost.signing.keys import SigningKey, build_keys
from mqhost.signing.offer import load_image
from mqhost.update.failures import RolledBack
from mqhost.update.push import push
from mqwire import update as wire

CRASH = "raise RuntimeError('broken at import')\n"


@pytest.fixture(scope="module")
def stranger():
    """Give somebody else's key."""
    return SigningKey(rsa_key(0), "stranger")


def refused(board, offer, app, **options):
    """Push what the board itself has to refuse; returns the code."""
    with board.session() as session, pytest.raises(RefusedError) as caught:
        push(session, offer, app, force=True, **options)
    return caught.value.code


def test_only_what_a_known_key_signed_gets_to_the_flash(board, variant, stranger, tmp_path):
    offer, app = load_image(variant("2.0.0").app)
    own = build_keys().name
    facts = json.loads(board.said("info", "--json"))
    assert (facts["signing"], facts["keys"]) == ("required", [own])

    unsigned = offer.signed(b"")
    damaged = offer.signed(offer.signature[:-1] + bytes((offer.signature[-1] ^ 1,)))
    pretended = replace(unsigned, version="3.0.0").signed(offer.signature)
    for wrong in (unsigned, damaged, pretended):
        assert refused(board, wrong, app) == wire.BAD_SIGNATURE
    foreign = signed_offer(app, stranger, version="2.0.0")
    assert refused(board, foreign, app) == wire.UNKNOWN_KEY

    path = write_image(tmp_path / "foreign", app, foreign)
    code, _, err = board.mqboard("ota", "--image", path)
    assert code == 5 and foreign.key in err and own in err and "Nothing was sent" in err
    assert board.slot_is_blank()
    assert "RuntimeError" not in board.device.console.text()


def test_the_next_key_signs_what_boards_take_that_know_it(
    make_board, sim, variant, stranger, tmp_path, monkeypatch
):
    _, app = load_image(variant("2.0.0").app)
    public = build_keys().public[0].pem() + stranger.public.pem()
    monkeypatch.setenv("MQBOARD_PUBLIC_KEYS", public)
    both = build(sim, version="1.5.0", output=tmp_path / "both")
    assert not both.signature.exists()  # the private key is elsewhere
    board = make_board(both)
    board.wait_confirmed()
    with board.session() as session:
        push(session, signed_offer(app, stranger, version="2.0.0"), app)
    assert board.wait_confirmed()["version"] == "2.0.0"


def test_firmware_without_keys_says_so_and_takes_what_is_not_signed(
    make_board, sim, variant, tmp_path
):
    offer, app = load_image(variant("2.0.0").app)
    open_board = build(replace(sim, signing="none"), version="1.5.0", output=tmp_path / "open")
    assert json.loads(open_board.offer.read_text())["key"] == ""
    board = make_board(open_board)
    assert board.wait_confirmed()["signing"] == "none"
    with board.session() as session:
        push(session, offer.signed(b""), app)
    assert board.wait_confirmed()["signing"] == "required"


def test_what_is_older_than_confirmed_is_refused_also_after_a_power_cut(board, variant):
    _, app = load_image(variant("2.0.0").app)
    board.wait_settled()
    seq = json.loads(board.said("info", "--json"))["seq"]
    assert board.eval("__import__('mqboard.health.bootrecord')") and seq > 1_700_000_000
    assert refused(board, signed_offer(app, seq=seq - 1), app) == wire.TOO_OLD
    keep = "from esp32 import NVS; from mqboard.health.bootrecord import *; "
    board.eval(keep + "keep_seq(Store(NVS(NAMESPACE)), 1 << 39)")
    board.device.power_off()
    board.device.power_on()
    board.device.wait_boots(2)
    board.wait_online()
    assert json.loads(board.said("info", "--json"))["oldest"] == 1 << 39
    assert refused(board, signed_offer(app, seq=seq), app) == wire.TOO_OLD
    assert board.slot_is_blank()
    with board.session() as session:
        push(session, signed_offer(app, seq=1 << 39), app)


def test_changes_that_were_never_committed_may_be_undone(make_board, sim, monkeypatch, tmp_path):
    """Edit, update, undo the edit, update: the commit is older than what runs, and is taken."""
    commit, dirty = Revision("", "abcdef12", 1_700_000_000), "abcdef12-dirty"

    def make(version, when=commit.time, name=commit.commit):
        revision = replace(commit, version=version, commit=name, time=when)
        monkeypatch.setattr(build_module, "read_revision", lambda version: revision)
        return build(sim, version=version, output=tmp_path / version)

    board = make_board(make("1.0.0"))
    board.wait_settled()

    def update(image):
        with board.session() as session:
            push(session, *load_image(image.app))
        board.wait_settled()
        return json.loads(board.said("info", "--json"))

    edited = update(make("1.0.0-edited", commit.time + 1000, dirty))
    assert (edited["seq"], edited["oldest"]) == (commit.time + 1000, commit.time)
    assert update(make("1.0.1"))["oldest"] == commit.time
    newer = update(make("1.1.0", commit.time + 2000, "12345678"))
    assert newer["oldest"] == commit.time + 2000
    # The other direction: from commit to commit there is no way back, edited or not.
    for name in (commit.commit, dirty):
        old = make(f"1.0.2-{name}", commit.time + 1999, name)
        assert refused(board, *load_image(old.app)) == wire.TOO_OLD


def test_a_board_may_be_configured_to_take_older_firmware(make_board, variant):
    board = make_board(update={"health_s": 0.5, "allow_downgrade": True})
    board.wait_confirmed()
    _, app = load_image(variant("2.0.0").app)
    with board.session() as session:
        push(session, signed_offer(app, seq=1, version="2.0.0"), app)
    assert board.wait_confirmed()["version"] == "2.0.0"


def test_a_rolled_back_image_comes_again_only_when_that_is_asked_for(board, firmware, variant):
    broken = variant("2.0.0-broken", {"mqboard/board.py": CRASH})
    offer, app = load_image(broken.app)
    with board.session() as session, pytest.raises(RolledBack) as caught:
        push(session, offer, app)
    assert caught.value.code == wire.CRASH
    code, _, err = board.mqboard("ota", "--image", broken.app)
    assert code == 5
    assert "RuntimeError: broken at import" in err and "--retry-failed" in err
    answer = board.wait_online()["failed"]
    assert answer == {
        "image": broken.sha256,
        "version": "2.0.0-broken",
        "code": wire.CRASH,
        "reason": "RuntimeError: broken at import",
    }
    boots = len(board.device.boots)
    code, out, _ = board.mqboard("ota", "--image", broken.app, "--retry-failed", "--json")
    last = json.loads(out.splitlines()[-1])
    assert (code, last["event"], last["code"]) == (1, "failed", wire.CRASH)
    assert len(board.device.boots) > boots
    with board.session() as session:
        push(session, *load_image(variant("2.0.0").app))


def test_power_lost_on_trial_is_not_held_against_the_image(make_board, variant):
    board = make_board(update={"health_s": 3, "confirm_s": 60})
    board.wait_confirmed()
    new = variant("2.0.0")
    process = board.command("ota", "--image", new.app)
    try:
        with board.session() as session:
            board.wait_status(session, lambda status: status["slot_state"] == "pending")
        board.device.power_off()
        board.device.power_on()
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1 and "Power was lost" in err
    assert board.wait_online()["failed"]["code"] == wire.POWER_LOST
    with board.session() as session:
        push(session, *load_image(new.app))
    assert board.wait_confirmed()["image"] == new.sha256


@pytest.mark.parametrize("version", ["2.0.0", "3.0.0"])
def test_of_two_hosts_one_wins_and_the_other_is_told_busy(board, variant, version, monkeypatch):
    monkeypatch.setattr("mqhost.update.transfer._BUSY_PATIENCE", 0.5)
    new, other = variant("2.0.0"), load_image(variant(version).app)
    told = []

    def interfere(stage, done, total):
        if stage == "send" and not told:
            with board.session() as session, pytest.raises(RefusedError) as caught:
                push(session, *other)
            told.append(caught.value.code)

    with board.session() as session:
        push(session, *load_image(new.app), progress=interfere)
    assert told == [wire.BUSY]
    assert board.wait_confirmed()["image"] == new.sha256
