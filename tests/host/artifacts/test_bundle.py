"""Tests bundles: what CI packs is read back, and what is damaged, changed or evil is not."""

import io
import stat
import warnings
import zipfile

import pytest
from fakebuild import BOARD, bundle_bytes, bundle_files, pack

from mqhost.artifacts.bundle import BundleError, board_of, bundle_name, read_bundle
from mqhost.errors import ToolError
from mqhost.signing.offer import load_image


@pytest.fixture
def read(tmp_path):
    """Give read(bytes of a zip, board) -> Bundle."""

    def run(data, board=BOARD, **options):
        path = tmp_path / "bundle.zip"
        path.write_bytes(data)
        return read_bundle(path, board, **options)

    return run


def test_a_bundle_comes_back_as_it_was_packed(read, tmp_path):
    files = bundle_files("1.0")
    bundle = read(pack(files))
    assert bundle.files == files
    assert (bundle.offer.version, bundle.signature) == ("1.0", None)
    bundle.unpack(tmp_path / "new" / "out")
    assert load_image(tmp_path / "new" / "out" / "app.bin") == (bundle.offer, files["app.bin"])
    assert (tmp_path / "new" / "out" / "flash.bin").read_bytes() == files["flash.bin"]


def test_nothing_of_another_build_stays_beside_it(read, tmp_path):
    (tmp_path / "image.sig").write_bytes(b"of another build")
    (tmp_path / "build.log").write_bytes(b"not ours to remove")
    read(bundle_bytes("1.0")).unpack(tmp_path)
    assert not (tmp_path / "image.sig").exists()
    assert (tmp_path / "build.log").exists()


def test_the_board_can_be_read_from_the_name():
    for board in ("esp32", "esp32-spiram", "esp32_2", "esp32-2"):
        for version in ("1.0", "0.1.0+g1234abcd.dirty", "v-next"):
            assert board_of(bundle_name(board, version)) == board
            assert board_of(bundle_name(board, version) + ".zip") == board


@pytest.mark.parametrize("name", ["", "firmware-esp32", "size-esp32.v1", "firmware-../x.v1"])
def test_other_artifacts_are_no_bundles(name):
    assert board_of(name) is None


@pytest.mark.parametrize(
    "name",
    ["../app.bin", "/etc/passwd", "a/../../x", "..\\x", "C:evil", "sub/app.bin", "..", "a\0b"],
)
def test_an_entry_that_leads_elsewhere_condemns_the_whole(read, tmp_path, name):
    with pytest.raises(BundleError, match="not to be trusted"):
        read(pack(bundle_files("1.0") | {name: b"evil"}))
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.zip"]


def test_a_link_is_refused(read):
    link = zipfile.ZipInfo("app.bin")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BundleError, match="not a plain file"):
        read(buffer.getvalue())


def test_two_files_of_one_name_are_refused(read):
    buffer = io.BytesIO(bundle_bytes("1.0"))
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("app.bin", b"another")
    with pytest.raises(BundleError, match="there twice"):
        read(buffer.getvalue())


def test_a_file_without_end_is_not_unpacked(read, monkeypatch):
    monkeypatch.setattr("mqhost.artifacts.bundle._LARGEST", 100_000)
    bomb = pack(bundle_files("1.0") | {"flash.bin": bytes(2_000_000)})
    with pytest.raises(BundleError, match="more than 100,000 B"):
        read(bomb)


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_what_is_packed_in_another_way_is_refused(read, kind):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        archive.writestr("app.bin", b"x" * 1000)
    data = bytearray(buffer.getvalue())
    data[50:60] = bytes(10)  # damaged, too, at which LZMA has an error of its own
    with pytest.raises(BundleError, match="is packed in a way that no build does"):
        read(bytes(data))


def test_too_many_files_are_refused(read):
    with pytest.raises(BundleError, match="a build makes 7"):
        read(pack({f"f{number}": b"" for number in range(101)}))


def test_unknown_files_are_left_in_the_archive(read):
    assert "notes.txt" not in read(pack(bundle_files("1.0") | {"notes.txt": b"hello"})).files


@pytest.mark.parametrize("name", ["app.bin", "image.json"])
def test_a_bundle_without_its_main_files_is_refused(read, name):
    files = bundle_files("1.0")
    del files[name]
    with pytest.raises(BundleError, match=f"holds no {name}"):
        read(pack(files))


def test_an_image_with_another_hash_is_refused(read):
    files = bundle_files("1.0")
    with pytest.raises(BundleError, match="does not have the hash"):
        read(pack(files | {"app.bin": bundle_files("2.0")["app.bin"]}))


def test_an_image_of_another_board_is_refused(read):
    with pytest.raises(BundleError, match="of board 'esp32', not 'esp32c3'"):
        read(bundle_bytes("1.0"), board="esp32c3")


def test_a_flash_image_of_another_build_is_refused(read):
    with pytest.raises(BundleError, match="of two builds"):
        read(pack(bundle_files("1.0") | {"flash.bin": bundle_files("2.0")["flash.bin"]}))


def test_every_cut_and_flipped_bundle_is_noticed(read):
    whole = bundle_bytes("1.0")
    good = read(whole).files
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        with pytest.raises(BundleError):
            read(whole[:length])
    for place in range(0, len(whole), 97):
        try:
            found = read(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        except BundleError:
            continue
        # Not every bit of an archive means something; the bytes that count are right.
        assert {name: good[name] for name in found.files} == found.files


def test_the_signature_check_has_the_last_word(read):
    seen = []

    def refuse(offer, signature):
        seen.append((offer, signature))
        raise ToolError("not signed by us")

    files = bundle_files("1.0") | {"image.sig": b"signature"}
    with pytest.raises(ToolError, match="not signed by us"):
        read(pack(files), check_signature=refuse)
    assert seen == [(files["image.json"], b"signature")]
