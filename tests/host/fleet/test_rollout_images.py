"""Tests where a rollout takes its images from: files, builds, releases, bundles, local store."""

import pytest
from fakebuild import bundle_bytes, bundle_files

from mqhost.artifacts.bundle import BundleError, bundle_name
from mqhost.errors import UsageError
from mqhost.fleet.rollout.images import find_images
from mqhost.signing.offer import load_image
from mqhost.update.store import ImageStore


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))


def build(folder, version="1.0", **more):
    folder.mkdir(parents=True)
    for name, data in bundle_files(version, **more).items():
        (folder / name).write_bytes(data)
    return folder


def versions(*paths):
    return [offer.version for offer, _ in find_images(paths)]


def test_an_image_its_folder_and_its_hash_are_the_same_image(tmp_path):
    folder = build(tmp_path / "one")
    offer, app = load_image(folder / "app.bin")
    for path in (folder / "app.bin", folder, folder):
        assert find_images([path]) == [(offer, app)]
    assert ImageStore().get(offer.sha256).app == app
    assert find_images([folder, type(folder)(offer.sha256[:8])]) == [(offer, app)]


def test_a_release_is_a_folder_of_builds_or_of_bundles(tmp_path):
    build(tmp_path / "build" / "a", "1.0")
    build(tmp_path / "build" / "b", "1.1")
    assert versions(tmp_path / "build") == ["1.0", "1.1"]
    release = tmp_path / "release"
    release.mkdir()
    for board, version in (("esp32", "1.0"), ("esp32s3", "1.0")):
        path = release / f"{bundle_name(board, version)}.zip"
        path.write_bytes(bundle_bytes(version, board))
    (release / "notes.txt").write_text("what is new")
    (release / "source.zip").write_bytes(b"no bundle")
    assert [offer.board for offer, _ in find_images([release])] == ["esp32", "esp32s3"]
    (release / f"{bundle_name('esp32c3', '1.0')}.zip").write_bytes(bundle_bytes("1.0"))
    with pytest.raises(BundleError, match="holds firmware of board 'esp32', not 'esp32c3'"):
        find_images([release])


def test_a_bundle_is_taken_whatever_it_is_called(tmp_path):
    path = tmp_path / "download.zip"
    path.write_bytes(bundle_bytes("2.0"))
    assert versions(path) == ["2.0"]
    path.write_bytes(b"no zip")
    with pytest.raises(BundleError, match="damaged"):
        find_images([path])


def test_what_is_none_is_said(tmp_path):
    with pytest.raises(UsageError, match="has no app.bin in it, nor folders with one"):
        find_images([tmp_path])
    with pytest.raises(UsageError, match="is missing"):
        find_images([tmp_path / "app.bin"])
    with pytest.raises(UsageError, match="cannot be read"):
        find_images([tmp_path / "none.zip"])
    with pytest.raises(UsageError, match="No image 'abcdef12' is kept"):
        find_images([type(tmp_path)("abcdef12")])
    with pytest.raises(UsageError, match="No image is given"):
        find_images([])
