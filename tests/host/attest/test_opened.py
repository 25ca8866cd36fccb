"""Tests mqboard verify and mqboard sbom: folders, single files and bundles, and what is no such."""

import io
import json
import os
import stat
import zipfile
from pathlib import Path

import pytest
from commandline import here
from fakebuild import bundle_files, pack
from proofs import KEY, OTHER, bill, proven_files
from rsakeys import private_pem, rsa_key

from mqhost.artifacts import bundle
from mqhost.attest.check import PROVENANCE
from mqhost.cli.attest import sbom


@pytest.fixture(autouse=True)
def trusted(monkeypatch):
    """Let this machine know KEY, by its public half alone."""
    monkeypatch.setenv("MQBOARD_PUBLIC_KEYS", KEY.public.pem())


@pytest.fixture
def mqboard(capsys, tmp_path, monkeypatch):
    """Give mqboard(word, …) -> how the command ended."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: here(capsys, ["", "", "", *map(str, words)])


def write(folder, files):
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("name", ["app.bin", "flash.bin"])
def test_an_image_that_is_an_archive_is_not_taken_for_what_it_holds(mqboard, tmp_path, name):
    files = proven_files()
    folder = write(tmp_path / "out", files)
    (folder / name).write_bytes(pack(files))
    ended = mqboard("verify", folder / name)
    assert ended.returncode == 5 and f"{name} is not the one that was built" in ended.stderr


def test_a_folder_an_image_and_a_bundle_say_the_same(mqboard, tmp_path):
    files = proven_files()
    folder = write(tmp_path / "out", files)
    (tmp_path / "firmware-esp32.v1.0.zip").write_bytes(pack(files))
    places = (folder, folder / "app.bin", folder / "flash.bin", "firmware-esp32.v1.0.zip")
    said = [mqboard("verify", place, "--json") for place in places]
    assert {ended.returncode for ended in said} == {0}, said[0].stderr
    records = [json.loads(ended.stdout) for ended in said]
    assert all(record == records[0] for record in records)
    assert records[0]["verified"] and records[0]["key"] == KEY.public.id
    assert records[0]["proven"] == ["app.bin", "flash.bin", "sbom.cdx.json"]
    shown = mqboard("verify", folder).stdout
    for word in (
        records[0]["commit"],
        KEY.public.id,
        "urn:mqboard:builder:local:desk",
        "esp32 1.0",
    ):
        assert word in shown


def test_what_is_not_proven_ends_with_5_and_a_sentence(mqboard, tmp_path):
    files = proven_files()
    for number, (change, why) in enumerate(
        [
            ({"app.bin": b"evil"}, "app.bin is not the one that was built"),
            ({PROVENANCE: b"{}"}, "is not made as it should be"),
            ({PROVENANCE: proven_files(key=OTHER)[PROVENANCE]}, "another key"),
        ]
    ):
        folder = write(tmp_path / str(number), files | change)
        for place in (folder, folder / "app.bin"):
            ended = mqboard("verify", place)
            assert ended.returncode == 5 and why in ended.stderr and not ended.stdout
        (tmp_path / "b.zip").write_bytes(pack(files | change))
        ended = mqboard("verify", "b.zip")
        assert ended.returncode == 5 and why in ended.stderr
    write(tmp_path / "bare", bundle_files("1.0"))
    ended = mqboard("verify", tmp_path / "bare")
    assert ended.returncode == 5 and "provenance.json is missing" in ended.stderr


def test_given_keys_are_the_only_trusted_ones(mqboard, tmp_path):
    folder = write(tmp_path / "out", proven_files(key=OTHER))
    assert mqboard("verify", folder).returncode == 5
    (tmp_path / "other.pem").write_text(OTHER.public.pem())
    (tmp_path / "key.pem").write_text(KEY.public.pem())
    assert mqboard("verify", folder, "--key", "key.pem").returncode == 5
    assert mqboard("verify", folder, "--key", "key.pem", "--key", "other.pem").returncode == 0
    ours = write(tmp_path / "ours", proven_files())
    assert mqboard("verify", ours, "--key", "other.pem").returncode == 5
    (tmp_path / "private.pem").write_text(private_pem(rsa_key(0)))
    ended = mqboard("verify", ours, "--key", "private.pem")
    assert ended.returncode == 2 and "private key" in ended.stderr


def test_what_is_no_build_is_2(mqboard, tmp_path):
    for name in ("nothing.bin", "no/folder/app.bin"):
        ended = mqboard("verify", name)
        assert ended.returncode == 2 and name in ended.stderr
    (tmp_path / "letter.txt").write_text("hello")
    ended = mqboard("verify", "letter.txt")
    assert ended.returncode == 2 and "neither" in ended.stderr


def test_what_no_build_writes_is_not_opened(mqboard, tmp_path):
    folder = write(tmp_path / "out", proven_files())
    (folder / PROVENANCE).unlink()
    os.mkfifo(folder / PROVENANCE)  # reading it would wait for ever
    ended = mqboard("verify", folder)
    assert ended.returncode == 5 and "no plain file" in ended.stderr
    assert mqboard("verify", folder / PROVENANCE).returncode == 5
    (folder / PROVENANCE).unlink()
    (folder / PROVENANCE).mkdir()
    assert mqboard("verify", folder).returncode in (2, 5)
    (folder / PROVENANCE).rmdir()
    (folder / PROVENANCE).symlink_to(tmp_path / "gone")
    for place in (folder, folder / "app.bin"):
        assert mqboard("verify", place).returncode == 2


def test_huge_files_are_not_read(mqboard, tmp_path, monkeypatch):
    files = proven_files()
    monkeypatch.setattr(bundle, "_LONGEST", 200_000)
    folder = write(tmp_path / "out", files)
    with (folder / PROVENANCE).open("r+b") as file:
        file.truncate(1 << 40)  # on disk it is almost nothing
    ended = mqboard("verify", folder)
    assert ended.returncode == 5 and "more than 200,000 B" in ended.stderr
    (tmp_path / "bomb.zip").write_bytes(pack(files | {PROVENANCE: bytes(10_000_000)}))
    ended = mqboard("verify", "bomb.zip")
    assert ended.returncode == 5 and "more than 200,000 B" in ended.stderr


def test_a_bundle_that_can_be_read_in_two_ways_is_refused(mqboard, tmp_path):
    good, evil = pack(proven_files()), pack({"app.bin": b"evil"})
    cases = {"damaged": good[:-30], "other": b"PK\3\4" + bytes(99), "no": b"\xe9" + good}
    cases |= {"two": evil + good}  # from the front it is the evil one
    twice = io.BytesIO(good)
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("app.bin", b"evil")
    link = zipfile.ZipInfo("app.bin")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    cases |= {"twice": twice.getvalue(), "linked": linked.getvalue()}
    cases |= {"path": pack(proven_files() | {"../app.bin": b"evil"})}
    for name, data in cases.items():
        (tmp_path / f"{name}.zip").write_bytes(data)
        ended = mqboard("verify", f"{name}.zip")
        assert ended.returncode == 5 and ended.stderr.strip(), name


def test_what_was_built_without_a_commit_differs_from_none(mqboard, tmp_path):
    folder = write(tmp_path / "out", proven_files(commit="", changed=True))
    shown = mqboard("verify", folder).stdout
    assert "none, it was no git checkout" in shown and "differ from it" not in shown


def test_the_parts_are_listed(mqboard, tmp_path):
    files = proven_files()
    folder = write(tmp_path / "out", files)
    shown = mqboard("sbom", folder).stdout
    assert "mqboard-esp32" in shown and "main.py" in shown
    record = json.loads(mqboard("sbom", folder / "app.bin", "--json").stdout)
    assert record == json.loads(files["sbom.cdx.json"])


def test_the_parts_of_another_image_are_not_shown(mqboard, tmp_path):
    folder = write(tmp_path / "out", proven_files() | {"sbom.cdx.json": bill("0" * 64)})
    ended = mqboard("sbom", folder)
    assert ended.returncode == 5 and "another image" in ended.stderr
    for data in (b"{}", b"[", b'{"bomFormat":"SPDX","metadata":{},"components":[]}'):
        (folder / "sbom.cdx.json").write_bytes(data)
        assert mqboard("sbom", folder).returncode == 5
    (folder / "sbom.cdx.json").unlink()
    ended = mqboard("sbom", folder)
    assert ended.returncode == 2 and "has no sbom.cdx.json" in ended.stderr


def test_sbom_wants_an_image_or_a_board(mqboard, tmp_path, monkeypatch):
    ended = mqboard("sbom", "a", "--board", "b")
    assert ended.returncode == 2 and "Name an IMAGE" in ended.stderr
    monkeypatch.setattr(sbom, "BUILD", tmp_path)
    ended = mqboard("sbom")  # that of the project, or without one
    assert ended.returncode == 2 and "build --board sim" in ended.stderr
    write(tmp_path / "sim", proven_files())
    assert "main.py" in mqboard("sbom").stdout
    ended = mqboard("sbom", "--board", "nosuch-board")
    assert ended.returncode == 2 and "build --board nosuch-board" in ended.stderr


def test_sign_signs_the_provenance_too(mqboard, tmp_path, monkeypatch):
    files = proven_files()
    unsigned = proven_files(key=None)
    folder = write(tmp_path / "out", files | {PROVENANCE: unsigned[PROVENANCE]})
    assert mqboard("verify", folder).returncode == 5
    monkeypatch.setenv("MQBOARD_SIGNING_KEY", private_pem(rsa_key(0)))
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    assert mqboard("sign", folder / "app.bin").returncode == 0
    assert mqboard("verify", folder).returncode == 0
    # What is not about these files is not given a word for.
    (folder / "flash.bin").write_bytes(b"other")
    ended = mqboard("sign", folder / "app.bin")
    assert ended.returncode == 5 and "was not signed" in ended.stderr
    assert Path(folder / PROVENANCE).is_file()
