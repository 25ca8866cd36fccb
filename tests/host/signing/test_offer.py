"""Tests the offer: made from an image, written, read back, and every way it can be wrong."""

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signed import write_image

from mqhost.errors import UsageError
from mqhost.signing.offer import Offer, block_of, load_image
from mqwire.update import MAX_VERSION, OFFER_BEGINNING

APP = bytes(range(256)) * 40


def make(app: bytes = APP) -> Offer:
    return Offer.make(app, board="sim", mcu="esp32", version="0.1.0", seq=7)


@pytest.mark.parametrize("blocks", [1, 2, 5])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_there_is_one_hash_per_block_and_the_last_is_padded(blocks, extra):
    app = b"\x55" * (blocks * 4096 + extra)
    offer = make(app)
    hashes = base64.b64decode(offer.blocks)
    assert len(hashes) == offer.count * 4 == -(-len(app) // 4096) * 4
    last = app[(offer.count - 1) * 4096 :]
    padded = last + b"\xff" * (4096 - len(last))
    assert hashes[-4:] == hashlib.sha256(padded).digest()[:4]
    assert block_of(app, offer.count - 1) == padded


def test_it_describes_the_whole_image():
    offer = make()
    assert (offer.size, offer.sha256) == (len(APP), hashlib.sha256(APP).hexdigest())
    assert offer.matches(APP)
    assert not offer.matches(APP[:-1])
    assert not offer.matches(b"x" + APP[1:])


def test_an_empty_image_is_refused():
    with pytest.raises(UsageError, match="empty"):
        make(b"")


@given(
    st.binary(min_size=1, max_size=9000),
    st.text(st.characters().filter(str.isprintable), min_size=1, max_size=MAX_VERSION // 4),
    st.integers(min_value=0),
)
def test_its_bytes_read_back_the_same(app, version, seq):
    offer = Offer.make(app, board="sim", mcu="esp32", version=version, seq=seq)
    assert Offer.from_bytes(offer.to_bytes()) == offer
    assert offer.to_bytes().startswith(OFFER_BEGINNING)


@pytest.mark.parametrize("field", ["board", "mcu", "version"])
def test_no_offer_is_made_that_a_board_would_not_read(field):
    facts = {"board": "sim", "mcu": "esp32", "version": "1", "seq": 1}
    for value in ("x" * 63, "x" * 64, "é" * 32):
        assert getattr(Offer.make(APP, **facts | {field: value}), field) == value
    for value in ("x" * 65, "é" * 32 + "x", "", "1\n", "\ud800"):
        with pytest.raises(UsageError, match=f"for board .*: {field} is not possible: it "):
            Offer.make(APP, **facts | {field: value})


def test_it_loads_from_a_file_and_says_when_there_is_none(tmp_path):
    path = tmp_path / "image.json"
    with pytest.raises(UsageError, match="image.json is missing"):
        Offer.load(path)
    path.write_bytes(make().to_bytes())
    assert Offer.load(path) == make()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 2, "format 2"),
        ("board", "", "board is not possible: it is empty"),
        ("mcu", 5, "mcu is 5"),
        ("chip_id", -1, "chip_id is -1"),
        ("seq", True, "seq is True"),
        ("seq", -1, "not possible"),
        ("size", 0, "not possible"),
        ("size", 4096, "has 1 blocks"),
        ("sha256", "ab", "64 lower-case"),
        ("sha256", "G" * 64, "64 lower-case"),
        ("block_size", 512, "block_size is 512"),
        ("blocks", "***", "not base64"),
        ("blocks", "AAAA", "3 B of hashes"),
        ("more", 1, "unknown more"),
    ],
)
def test_a_wrong_field_is_named(key, value, message):
    record = json.loads(make().to_bytes()) | {key: value}
    with pytest.raises(UsageError, match=message.replace("*", r"\*")):
        Offer.from_bytes(json.dumps(record, separators=(",", ":")).encode())


def test_a_missing_field_is_named():
    record = json.loads(make().to_bytes())
    del record["seq"]
    with pytest.raises(UsageError, match="missing seq"):
        Offer.from_bytes(json.dumps(record).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_offer_is_refused(data):
    with pytest.raises(UsageError, match="image.json"):
        Offer.from_bytes(data)


def test_a_reformatted_offer_is_refused():
    pretty = json.dumps(json.loads(make().to_bytes()), indent=1).encode()
    with pytest.raises(UsageError, match="reformatted"):
        Offer.from_bytes(pretty)


# app.bin and image.json on disk


@pytest.fixture
def built(tmp_path):
    return write_image(tmp_path, APP, make())


def test_an_image_loads_with_its_offer(built):
    assert load_image(built) == (make(), APP)


def test_a_truncated_image_names_both_sizes(built):
    built.write_bytes(APP[:-1])
    with pytest.raises(UsageError, match=f"has {len(APP) - 1} B.* {len(APP)} B"):
        load_image(built)


def test_a_changed_image_names_both_hashes(built):
    built.write_bytes(b"x" + APP[1:])
    with pytest.raises(UsageError, match=f"SHA-256 .*{make().sha256[:16]}"):
        load_image(built)


@pytest.mark.parametrize("described", [True, False])
def test_a_flash_image_is_recognised(built, described):
    flash = built.with_name("flash.bin")
    flash.write_bytes(b"\xff" * 0x8000 + b"\xaa\x50" + APP)
    if not described:
        built.with_name("image.json").unlink()
    with pytest.raises(UsageError, match="flash image .* app.bin"):
        load_image(flash)


def test_a_missing_description_says_what_to_do(built):
    built.with_name("image.json").unlink()
    with pytest.raises(UsageError, match="image.json is missing.*invoke build"):
        load_image(built)


def test_a_missing_image_says_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="app.bin is missing. Build it"):
        load_image(tmp_path / "app.bin")


def test_the_description_is_not_the_image(built):
    with pytest.raises(UsageError, match="name the image itself"):
        load_image(built.with_name("image.json"))


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_image(tmp_path)
