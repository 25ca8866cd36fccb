"""Tests the local image store: whole or missing, bounded, safe with several users."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mqhost.cli.update.pushing import image_path
from mqhost.errors import UsageError
from mqhost.signing.offer import Offer, load_image
from mqhost.update.store import ImageStore, remember


def image(text, size=5000):
    app = text.encode().ljust(size, b".")
    return app, Offer.make(app, board="esp32", mcu="esp32", version=text, seq=1)


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "images")


def test_what_was_put_is_found_by_its_hash(store):
    app, offer = image("1.0")
    path = store.put(app, offer)
    assert load_image(path) == (offer, app)
    found = store.get(offer.sha256)
    assert (found.app, found.offer, found.signature) == (app, offer, None)
    assert store.find(offer.sha256[:8].upper()) == path


def test_an_image_that_is_not_kept(store):
    app, offer = image("1.0")
    assert store.get(offer.sha256) is None
    assert store.images() == []
    with pytest.raises(UsageError, match="invoke artifact"):
        store.find(offer.sha256[:8])


@pytest.mark.parametrize("name", ["", "..", "../../etc", "zz" * 32, "A" * 64, "a" * 63])
def test_what_is_no_hash_names_nothing(store, name):
    store.put(*image("1.0"))
    assert store.get(name) is None


def test_a_short_or_ambiguous_name_is_refused(store):
    for number in range(40):
        store.put(*image(str(number), 64))
    with pytest.raises(UsageError, match="6 or more digits"):
        store.find("abcde")
    with pytest.raises(UsageError, match="6 or more digits"):
        store.find("build/esp32/app.bin")
    first = store.images()[0].sha256
    twin = store.folder / (first[:10] + "0" * 54)
    twin.mkdir()
    with pytest.raises(UsageError, match="Give more digits"):
        store.find(first[:8])


def test_an_image_of_another_offer_is_not_kept(store):
    app, offer = image("1.0")
    with pytest.raises(UsageError, match="does not match"):
        store.put(app + b"x", offer)
    assert store.images() == []


@pytest.mark.parametrize("name", ["app.bin", "image.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_entry_counts_as_missing_and_can_be_put_again(store, name, damage):
    app, offer = image("1.0")
    file = store.put(app, offer).parent / name
    data = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    else:
        data[70] ^= 1
        file.write_bytes(data if damage == "flip" else data[:-1])
    assert store.get(offer.sha256) is None
    assert not file.parent.exists()
    assert load_image(store.put(app, offer)) == (offer, app)


def test_putting_over_a_damaged_entry_mends_it(store):
    app, offer = image("1.0")
    path = store.put(app, offer)
    path.write_bytes(b"")
    assert store.put(app, offer) == path
    assert path.read_bytes() == app


def test_the_signature_is_kept_and_can_come_later(store):
    app, offer = image("1.0")
    store.put(app, offer)
    store.put(app, offer, b"signature")
    assert store.get(offer.sha256).signature == b"signature"
    store.put(app, offer)
    assert store.get(offer.sha256).signature == b"signature"


def test_the_images_used_longest_ago_go_first(tmp_path):
    images = [image(str(number), 10_000) for number in range(4)]
    store = ImageStore(tmp_path / "images", limit=35_000)
    for number, (app, offer) in enumerate(images[:3]):
        folder = store.put(app, offer).parent
        os.utime(folder, (number, number))
    store.get(images[0][1].sha256)  # used, so the second is the oldest now
    store.images()  # looking at all of them is no use
    store.put(*images[3])
    assert {offer.version for offer in store.images()} == {"0", "2", "3"}


def test_an_image_larger_than_the_store_is_kept_alone(tmp_path):
    store = ImageStore(tmp_path / "images", limit=1000)
    store.put(*image("small", 100))
    store.put(*image("large", 9000))
    assert [offer.version for offer in store.images()] == ["large"]


def test_what_a_killed_run_left_is_cleared(store):
    store.put(*image("1.0"))
    leftover = store.folder / ".new-killed"
    leftover.mkdir()
    (leftover / "app.bin").write_bytes(b"half")
    store.put(*image("2.0"))
    assert not leftover.exists()


def test_a_failed_write_leaves_nothing(store, monkeypatch):
    app, offer = image("1.0")
    monkeypatch.setattr("mqhost.update.store.OFFER", "no/such/folder")
    with pytest.raises(OSError):
        store.put(app, offer)
    assert [path.name for path in store.folder.iterdir()] == ["lock"]


def test_several_processes_share_a_small_store(tmp_path):
    code = """
import sys
from pathlib import Path
from mqhost.signing.offer import Offer
from mqhost.update.store import ImageStore
store = ImageStore(Path(sys.argv[1]), limit=30_000)
for number in range(60):
    app = str(number % 7).encode() * 9000
    offer = Offer.make(app, board="b", mcu="m", version="1", seq=1)
    store.put(app, offer)
    other = store.get(Offer.make(b"3" * 9000, board="b", mcu="m", version="1", seq=1).sha256)
    assert other is None or other.app == b"3" * 9000
    for offer in store.images():
        found = store.get(offer.sha256)
        assert found is None or found.offer.matches(found.app)
"""
    argv = [sys.executable, "-c", code, str(tmp_path / "images")]
    running = [subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        assert process.communicate(timeout=60)[1] == ""
    assert 1 <= len(ImageStore(tmp_path / "images").images()) <= 3


def test_a_cache_that_cannot_be_written_fails_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "file"))
    remember(*image("1.0"))


def test_the_store_is_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    app, offer = image("1.0")
    remember(app, offer)
    assert (tmp_path / "images" / offer.sha256 / "app.bin").read_bytes() == app
    assert hashlib.sha256(app).hexdigest() == offer.sha256


def test_an_image_is_named_by_its_path_or_its_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    app, offer = image("1.0")
    kept = ImageStore().put(app, offer)
    assert image_path(Path(offer.sha256[:10])) == kept
    assert image_path(Path("build/esp32/app.bin")) == Path("build/esp32/app.bin")
    Path(offer.sha256[:10]).write_bytes(b"a file of that name")
    assert image_path(Path(offer.sha256[:10])) == Path(offer.sha256[:10])
    with pytest.raises(UsageError, match="No image 'abcdef'"):
        image_path(Path("abcdef"))
