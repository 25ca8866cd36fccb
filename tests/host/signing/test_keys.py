"""Tests signing keys: made once, kept to oneself, found, and every way in which one is unusable."""

import hashlib
import itertools
import os
import stat
import subprocess
import sys

import pytest
import signed
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from rsakeys import private_pem, rsa_key

from mqhost.errors import ToolError, UsageError
from mqhost.signing import keys
from mqhost.signing import sign as signing
from mqhost.signing.keys import PublicKey, build_keys
from mqhost.signing.offer import Offer, load_image

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


@pytest.fixture(scope="module")
def key():
    return rsa_key(0)


@pytest.fixture(scope="module")
def other():
    return keys.SigningKey(rsa_key(1), "other")


@pytest.fixture(autouse=True)
def keys_at_hand(monkeypatch):
    """Have new keys made of those that are there already, each once in a test."""
    numbers = itertools.count(2)

    def generate(exponent, bits):
        assert exponent == 65537
        return rsa_key(next(numbers), bits)

    monkeypatch.setattr(rsa, "generate_private_key", generate)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Give the folder of keys, not made yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "mqboard"


def write_key(folder, key, name=keys.CURRENT, mode=0o600):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(private_pem(key))
    (folder / name).chmod(mode)
    return folder / name


def test_the_first_build_makes_a_key_that_only_its_owner_can_read(folder):
    made = build_keys()
    assert made.made == folder / "signing-key.pem"
    assert stat.S_IMODE(made.made.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    again = build_keys()
    assert again.made is None
    assert again.public == made.public and len(made.public) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "signing-key.pem"]


def test_two_first_builds_at_once_make_one_key(folder):
    code = "from mqhost.signing.keys import build_keys; print(build_keys().name)"
    runs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert len({run.communicate(timeout=60)[0] for run in runs}) == 1


def test_a_key_is_named_by_its_modulus_and_openssl_verifies_its_signature(folder, key, tmp_path):
    write_key(folder, key)
    found = build_keys()
    modulus = key.public_key().public_numbers().n.to_bytes(384, "big")
    assert found.name == hashlib.sha256(modulus).hexdigest()[:16] == PublicKey(modulus).id
    (tmp_path / "data").write_bytes(b"data")
    (tmp_path / "sig").write_bytes(found.signing.sign(b"data"))
    (tmp_path / "public").write_text(found.public[0].pem())
    argv = ["openssl", "dgst", "-sha256", "-verify", "public", "-signature", "sig", "data"]
    assert subprocess.run(argv, cwd=tmp_path, capture_output=True).returncode == 0
    assert found.public[0].signed(b"data", found.signing.sign(b"data"))
    assert not found.public[0].signed(b"date", found.signing.sign(b"data"))


def test_a_key_that_is_there_is_never_overwritten(folder, key):
    path = write_key(folder, key)
    before = path.read_bytes()
    assert keys.make_key(keys.CURRENT) is None
    assert path.read_bytes() == before


def test_a_key_that_others_can_read_is_refused(folder, key):
    path = write_key(folder, key, mode=0o640)
    with pytest.raises(UsageError, match=f"chmod 600 {path}"):
        build_keys()


def test_a_folder_that_cannot_be_made_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.raises(ToolError, match="XDG_CONFIG_HOME"):
        build_keys()


@pytest.mark.parametrize("as_path", [False, True])
def test_the_environment_goes_before_the_development_key(key, tmp_path, monkeypatch, as_path):
    text = private_pem(key)
    value = str(write_key(tmp_path, key, "ci.pem")) if as_path else text
    monkeypatch.setenv("MQBOARD_SIGNING_KEY", value)
    found = build_keys()
    assert found.signing.public == found.public[0]
    assert not keys.config_dir().exists()
    assert "PRIVATE" not in repr(found) and "PRIVATE" not in repr(found.signing)


def test_public_keys_alone_are_frozen_and_nothing_is_signed(key, other, tmp_path, monkeypatch):
    mine = keys.SigningKey(key, "here").public
    monkeypatch.setenv("MQBOARD_PUBLIC_KEYS", mine.pem() + other.public.pem())
    assert build_keys() == keys.BuildKeys((mine, other.public))
    assert build_keys().name == mine.id
    for number, public in enumerate((mine, other.public)):
        (tmp_path / str(number)).write_text(public.pem())
    monkeypatch.setenv("MQBOARD_PUBLIC_KEYS", f"{tmp_path / '0'}{os.pathsep}{tmp_path / '1'}")
    assert build_keys().public == (mine, other.public)
    monkeypatch.setenv("MQBOARD_PUBLIC_KEYS", f"{tmp_path / '0'}{os.pathsep}{tmp_path / '0'}")
    assert build_keys().public == (mine,)


def test_the_key_that_signs_may_be_another_than_those_that_are_frozen(key, other, monkeypatch):
    monkeypatch.setenv("MQBOARD_SIGNING_KEY", private_pem(key))
    monkeypatch.setenv("MQBOARD_PUBLIC_KEYS", other.public.pem())
    found = build_keys()
    assert found.public == (other.public,)
    assert found.name == found.signing.public.id != other.public.id


def wrong_keys():
    small = rsa_key(0, 2048)
    return {
        "2048 bits": private_pem(small),
        "is encrypted": private_pem(small, b"secret"),
        "not an RSA key": private_pem(ec.generate_private_key(ec.SECP256R1())),
        "no private key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "nor": "MIIG/gIBADANBgkqhkiG9w0BAQEFAASCBugwggbk\nAgEAAoIBgQ",
        "No such file": "/nowhere/key.pem",
    }


@pytest.mark.parametrize(("reason", "value"), wrong_keys().items(), ids=list(wrong_keys()))
def test_a_signing_key_that_cannot_be_used_is_named_and_not_shown(monkeypatch, reason, value):
    monkeypatch.setenv("MQBOARD_SIGNING_KEY", value)
    with pytest.raises(UsageError, match=reason) as caught:
        build_keys()
    assert "MII" not in str(caught.value) and "AAAA" not in str(caught.value)


def test_public_keys_that_cannot_be_used(key, other, monkeypatch):
    small = rsa_key(0, 2048).public_key()
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    two = [rsa_key(number).public_key() for number in (2, 3)]
    for value, reason in (
        (private_pem(key), "private"),
        (small.public_bytes(PEM, public).decode(), "2048 bits"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"),
        ("/nowhere", "cannot be read"),
        (
            other.public.pem() + "".join(k.public_bytes(PEM, public).decode() for k in two),
            "3 keys",
        ),
    ):
        monkeypatch.setenv("MQBOARD_PUBLIC_KEYS", value)
        with pytest.raises(UsageError, match=reason):
            build_keys()


def test_the_next_key_is_known_first_and_then_takes_over(folder):
    first = build_keys()
    with pytest.raises(UsageError, match="--next"):
        keys.rotate()
    text = signing.manage_keys(make_next=True)
    both = build_keys()
    assert both.name == first.name and len(both.public) == 2 and both.public[0] == first.public[0]
    assert both.public[1].id in text
    signing.manage_keys(rotate=True)
    last = build_keys()
    assert last.public == both.public[1:] and last.name == both.public[1].id
    kept = folder / f"retired-{first.name}.pem"
    assert keys.load_signing_key(kept).public == first.public[0]


def test_rotating_needs_no_links_and_loses_no_key_when_it_is_cut_short(folder, monkeypatch):
    def fails(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", fails)  # as on FAT, and in some shared folders
    first = build_keys()
    signing.manage_keys(make_next=True)
    both = build_keys()
    replace = os.replace
    for moment in range(2):  # the old key is kept, the next one takes its place
        left = iter([replace] * moment)
        monkeypatch.setattr(os, "replace", lambda *names, left=left: next(left, fails)(*names))
        with pytest.raises(ToolError, match="Operation not permitted.*rotate again"):
            keys.rotate()
        monkeypatch.setattr(os, "replace", replace)
        assert build_keys().public == both.public
    kept = keys.rotate()
    assert build_keys().public == both.public[1:]
    assert keys.load_signing_key(kept).public == first.public[0]
    assert {path.name for path in folder.iterdir()} == {"lock", keys.CURRENT, kept.name}


def test_public_keys_are_printed_as_the_environment_takes_them(monkeypatch):
    signing.manage_keys(make_next=True)
    text = signing.manage_keys(public_only=True)
    public = build_keys().public
    assert "PRIVATE" not in text
    monkeypatch.setenv("MQBOARD_PUBLIC_KEYS", text)
    assert build_keys().public == public


APP = b"\xe9" + bytes(9000)


def write_image(folder, key="", signature=b""):
    offer = Offer.make(APP, board="sim", mcu="esp32", version="1", seq=1, key=key)
    return signed.write_image(folder, APP, offer.signed(signature))


def test_an_image_is_signed_later_with_the_key_it_names(tmp_path, monkeypatch):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    app = write_image(tmp_path, build_keys().name)
    assert load_image(app)[0].signature == b""
    offer, _ = signing.sign(app)
    assert load_image(app)[0].signature == offer.signature
    assert build_keys().public[0].signed(offer.to_bytes(), offer.signature)
    signing.check_signature(offer.to_bytes(), offer.signature)


def test_another_key_than_the_image_names_does_not_sign(tmp_path, other):
    build_keys()
    for name in ("", other.public.id):
        with pytest.raises(UsageError, match="signing key at hand"):
            signing.sign(write_image(tmp_path, name))
    assert not (tmp_path / "image.sig").exists()


def test_without_any_key_signing_says_how_to_get_one(tmp_path):
    with pytest.raises(UsageError, match="invoke keys"):
        signing.sign(write_image(tmp_path))
    assert not keys.config_dir().exists()


def test_a_signature_file_of_another_length_is_none(tmp_path):
    with pytest.raises(UsageError, match="383 B; a signature has 384 B"):
        load_image(write_image(tmp_path, signature=b"x" * 383))


def test_a_downloaded_signature_is_checked_by_a_key_that_is_known(other):
    own = build_keys().signing
    offer = Offer.make(APP, board="b", mcu="m", version="1", seq=1, key=own.public.id)
    data = offer.to_bytes()
    signing.check_signature(data, own.sign(data))
    signing.check_signature(data, None)
    with pytest.raises(ToolError, match="was changed"):
        signing.check_signature(data, other.sign(data))
    unknown = Offer.make(APP, board="b", mcu="m", version="1", seq=1, key=other.public.id)
    signing.check_signature(unknown.to_bytes(), b"x" * 384)
