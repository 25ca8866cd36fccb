"""Tests the verdict on a build's files: what is proven, and everything that an attacker may try.

The attacker may write every file of a bundle, has seen every good one, and has none of the keys.
"""

import base64
import json

import pytest
from fakebuild import bundle_files
from proofs import (
    COMMIT,
    KEY,
    OTHER,
    bill,
    envelope_of,
    proven_files,
    provenance_of,
    with_signature,
)

from mqhost.attest import check as checking
from mqhost.attest.check import PROVENANCE, check
from mqhost.attest.dsse import PAYLOAD_TYPE, Envelope, pae
from mqhost.attest.statement import Provenance
from mqhost.errors import ProofError

TRUSTED = [KEY.public]


def refused(files, keys=TRUSTED):
    """Return why `files` are not proven; the sentence is one, and plain."""
    with pytest.raises(ProofError) as caught:
        check(files, keys)
    text = str(caught.value)
    assert caught.value.exit_code == 5 and text.isprintable()
    return text


def changed(payload, **top):
    return json.dumps(json.loads(payload) | top, separators=(",", ":")).encode()


def test_what_a_build_left_is_proven():
    files = proven_files()
    verdict = check(files, [OTHER.public, KEY.public])
    assert verdict.provenance.commit == COMMIT and verdict.key == KEY.public
    assert verdict.provenance.builder == "urn:mqboard:builder:local:desk"
    assert verdict.proven == ("app.bin", "flash.bin", "sbom.cdx.json") and not verdict.absent
    assert verdict.offer and verdict.rest == ("build.json",)


def test_provenance_comes_back_as_it_was_written():
    made = provenance_of(proven_files())
    assert Provenance.from_bytes(made.to_bytes(), "x") == made


def test_what_is_signed_is_the_dsse_encoding():
    assert pae(b"hello") == b"DSSEv1 28 application/vnd.in-toto+json 5 hello"
    envelope = Envelope(b"{}").signed(KEY)
    assert envelope.signer([KEY.public]) == KEY.public
    assert Envelope.from_bytes(envelope.to_bytes(), "x") == envelope
    # Nor is a signature over the bare bytes one over the statement, or the other way around.
    bare = with_signature(envelope.to_bytes(), KEY.public.id, KEY.sign(b"{}"))
    assert Envelope.from_bytes(bare, "x").signer([KEY.public]) is None


def test_an_image_alone_with_its_provenance_is_proven():
    files = proven_files()
    verdict = check({name: files[name] for name in ("app.bin", PROVENANCE)}, TRUSTED)
    assert verdict.absent == ("flash.bin", "sbom.cdx.json") and not verdict.offer
    assert "no image" in refused({name: files[name] for name in ("sbom.cdx.json", PROVENANCE)})


@pytest.mark.parametrize("name", ["app.bin", "flash.bin", "sbom.cdx.json"])
def test_a_file_that_was_changed_is_refused(name):
    files = proven_files()
    for data in (files[name][:-1] + b"!", files[name] + b"\n", b"", files[name][:-1]):
        assert f"{name} is not the one that was built" in refused(files | {name: data})
    other = proven_files("2.0")
    assert "not the one that was built" in refused(files | {name: other[name] + b"2"})


def test_files_of_two_good_builds_do_not_mix():
    old, new = proven_files("1.0"), proven_files("2.0")
    for name in ("app.bin", "flash.bin", PROVENANCE):
        refused(new | {name: old[name]})
    assert "offers another image" in refused(
        new | {name: old[name] for name in ("image.json", "image.sig")}
    )


def test_without_provenance_nothing_is_proven(monkeypatch):
    for task in ("invoke", "mqboard"):  # as in a checkout, as in a project
        monkeypatch.setattr(checking, "TASK", task)
        said = refused(bundle_files("1.0"))
        assert "provenance.json is missing" in said and f"build again ({task} build)" in said


def test_without_a_key_nothing_is_trusted():
    assert "--key" in refused(proven_files(), [])


def test_the_key_must_be_a_trusted_one():
    text = refused(proven_files(), [OTHER.public])
    assert KEY.public.id in text and OTHER.public.id in text
    mine = proven_files(key=OTHER)  # the attacker's own, whole and well made
    assert "another key" in refused(mine)
    # The name of the key is only a word: here it says that it were the trusted one.
    envelope = Envelope.from_bytes(mine[PROVENANCE], "x")
    lie = with_signature(mine[PROVENANCE], KEY.public.id, envelope.signatures[0].data)
    assert "was changed" in refused(mine | {PROVENANCE: lie})


def test_a_good_signature_over_something_else_is_none():
    files = proven_files()
    attacked = provenance_of(files, commit="f" * 40).to_bytes()
    good = Envelope.from_bytes(files[PROVENANCE], "x").signatures
    for signatures in (good, good * 8):
        forged = Envelope(attacked, signatures).to_bytes()
        assert "was changed" in refused(files | {PROVENANCE: forged})
    # The same key also signs offers and applications: those signatures prove no statement.
    borrowed = with_signature(files[PROVENANCE], KEY.public.id, files["image.sig"])
    assert "was changed" in refused(files | {PROVENANCE: borrowed})
    for signature in (b"", b"\0" * 384, b"\1" * 383, b"\1" * 385, bytes(4000)):
        short = with_signature(files[PROVENANCE], KEY.public.id, signature)
        refused(files | {PROVENANCE: short})


def test_unsigned_provenance_proves_nothing_and_says_what_to_do():
    text = refused(proven_files(key=None))
    assert "not signed" in text and "mqboard sign" in text


def test_every_flipped_bit_of_the_envelope_is_noticed():
    files = proven_files()
    data = files[PROVENANCE]
    for place in range(0, len(data), 13):
        bad = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            verdict = check(files | {PROVENANCE: bad}, TRUSTED)
        except ProofError:
            continue
        # Only the name of the key is free, which nothing hangs on.
        assert verdict == check(files, TRUSTED) and b"keyid" in data[place - 40 : place]
    for length in (0, 1, len(data) // 2, len(data) - 1):
        refused(files | {PROVENANCE: data[:length]})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe{\0}\0",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"payload":NaN}',
        b'{"a":"\\ud800"}',
        b'{"payload":"","payload":"","payloadType":"","signatures":[]}',
        b'{"payload":1,"payloadType":"x","signatures":[]}',
        b'{"payload":"","payloadType":"application/vnd.in-toto+json"}',
        b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":{}}',
        b'{"payload":"e30","payloadType":"application/vnd.in-toto+json","signatures":[]}',
        b'{"payload":"e31=","payloadType":"application/vnd.in-toto+json","signatures":[]}',
        b'{"payload":"e3 0=","payloadType":"application/vnd.in-toto+json","signatures":[]}',
        b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[1]}',
        b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[],"x":1}',
    ],
)
def test_malformed_json_is_refused(data):
    assert "provenance.json" in refused(proven_files() | {PROVENANCE: data[:200_000]})


def test_an_envelope_of_another_kind_is_refused():
    files = proven_files()
    payload = Envelope.from_bytes(files[PROVENANCE], "x").payload
    for kind in ("application/json", PAYLOAD_TYPE.upper(), PAYLOAD_TYPE + " ", ""):
        assert "is an envelope of" in refused(files | {PROVENANCE: envelope_of(payload, kind=kind)})
    whole = envelope_of(payload)
    assert check(files | {PROVENANCE: whole}, TRUSTED).key == KEY.public
    many = envelope_of(payload, signatures=json.loads(whole)["signatures"] * 9)
    assert "9 signatures" in refused(files | {PROVENANCE: many})


@pytest.mark.parametrize(
    ("subjects", "why"),
    [
        ([], "says nothing of app.bin"),
        ([("app.bin", "a" * 64)], "says nothing of flash.bin"),
        ([("app.bin", "a" * 64)] * 2, "names app.bin twice"),
        ([("../app.bin", "a" * 64)], "no file of a build"),
        ([("APP.BIN", "a" * 64)], "no file of a build"),
        ([("evil.bin", "a" * 64)], "no file of a build"),
        ([("app.bin", "A" * 64)], "cannot be one"),
        ([("app.bin", "a" * 63)], "cannot be one"),
        ([("app.bin", 5)], "no str"),
    ],
)
def test_a_signed_statement_about_other_files_is_refused(subjects, why):
    """Signed by our own key, even so: by a build that was led to it."""
    files = proven_files()
    payload = Envelope.from_bytes(files[PROVENANCE], "x").payload
    listed = [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects]
    signed = envelope_of(changed(payload, subject=listed))
    assert why in refused(files | {PROVENANCE: signed})


def test_another_kind_of_statement_is_refused():
    files = proven_files()
    payload = Envelope.from_bytes(files[PROVENANCE], "x").payload
    for change in (
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"predicateType": "https://slsa.dev/verification_summary/v1"},
        {"predicate": {}},
        {"predicate": []},
        {"subject": "app.bin"},
    ):
        refused(files | {PROVENANCE: envelope_of(changed(payload, **change))})
    twice = payload.replace(b'{"_type"', b'{"_type":"x","_type"', 1)
    assert "in it twice" in refused(files | {PROVENANCE: envelope_of(twice)})
    record = json.loads(payload)
    record["predicate"]["buildDefinition"]["buildType"] = "https://example.org/other"
    text = refused(files | {PROVENANCE: envelope_of(json.dumps(record).encode())})
    assert "tells of a build of the kind" in text


def test_more_than_we_know_may_be_in_a_statement():
    files = proven_files()
    payload = Envelope.from_bytes(files[PROVENANCE], "x").payload
    assert check(files | {PROVENANCE: envelope_of(changed(payload, more=[1]))}, TRUSTED)


def test_an_offer_beside_must_be_of_the_same_firmware_and_signed():
    files = proven_files()
    unsigned = {name: data for name, data in files.items() if name != "image.sig"}
    verdict = check(unsigned, TRUSTED)
    assert not verdict.offer and "image.json" in verdict.rest
    assert "image.sig does not fit" in refused(files | {"image.sig": b"\1" * 384})
    assert "says otherwise" in refused(proven_files(board="esp32c3"))
    refused(files | {"image.json": files["image.json"] + b" "})


def test_messages_show_only_the_beginning_of_what_an_attacker_wrote():
    kind = "x" * 5000 + "\x1b[2J"
    text = refused(proven_files() | {PROVENANCE: envelope_of(b"{}", kind=kind)})
    assert len(text) < 400 and text.isprintable()
    text = refused(
        proven_files() | {PROVENANCE: b'{"' + b"k" * 5000 + b'":1,"' + b"k" * 5000 + b'":1}'}
    )
    assert len(text) < 400


def test_an_old_bundle_is_proven_to_be_that_old_one():
    """What no signature can tell: that there is a newer one. It says which it is."""
    assert check(proven_files("0.1"), TRUSTED).provenance.version == "0.1"


def test_the_list_of_parts_is_covered_by_the_signature():
    files = proven_files()
    lie = bill("0" * 64, modules=())
    assert "sbom.cdx.json is not" in refused(files | {"sbom.cdx.json": lie})


def test_base64_has_one_spelling():
    files = proven_files()
    record = json.loads(files[PROVENANCE])
    signature = record["signatures"][0]["sig"]
    for spelled in (
        signature + "\n",
        signature.replace("=", ""),
        base64.urlsafe_b64encode(base64.b64decode(signature) + b"\xff\xfe").decode(),
    ):
        record["signatures"][0]["sig"] = spelled
        if spelled != signature:
            assert refused(files | {PROVENANCE: json.dumps(record).encode()})
