"""Tests finding MicroPython's sources: checkouts recognised, downloads checked and made whole."""

import hashlib
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from mqhost.build import source
from mqhost.build.integrity import record
from mqhost.errors import ToolError, UsageError

RELEASE = "1.25.0+ds-1"
NAME = "micropython_x.tar.xz"
CONTENT = b"the very bytes" * 1000
FILES = {NAME: hashlib.sha256(CONTENT).hexdigest()}


def checkout(folder: Path, version: str) -> Path:
    (folder / "py").mkdir(parents=True)
    names = ("MAJOR", "MINOR", "MICRO")
    lines = zip(names, version.split("."), strict=True)
    text = "".join(f"#define MICROPY_VERSION_{name} {number}\n" for name, number in lines)
    (folder / "py" / "mpconfig.h").write_text(text)
    return folder


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Make a Debian archive in a folder, which apt reads like any other."""
    pool = tmp_path / "mirror" / "pool/main/m/micropython"
    pool.mkdir(parents=True)
    (pool / NAME).write_bytes(CONTENT)
    monkeypatch.setattr(source, "mirrors", lambda: [f"copy:{tmp_path}/mirror/"])
    return pool


@pytest.mark.parametrize("version", ["1.25.0", "1.28.0", "2.0.0"])
def test_a_checkout_tells_its_version(tmp_path, version):
    found = source.find_source(RELEASE, checkout(tmp_path / "m", version))
    assert (found.version, found.path) == (version, tmp_path / "m")


def test_an_old_checkout_is_refused_with_the_numbers(tmp_path):
    with pytest.raises(UsageError, match=r"is MicroPython 1\.24\.1; MQBoard needs 1\.25 or newer"):
        source.find_source(RELEASE, checkout(tmp_path / "m", "1.24.1"))


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no MicroPython checkout"):
        source.find_source(RELEASE, tmp_path)


def test_a_release_without_hashes_is_refused():
    with pytest.raises(UsageError, match="known: 1.25.0"):
        source.find_source("9.9.9")


def test_a_missing_file_is_fetched(tmp_path, mirror):
    source.fetch(FILES, tmp_path / "download")
    assert (tmp_path / "download" / NAME).read_bytes() == CONTENT


def test_what_is_whole_is_not_fetched_again(tmp_path, mirror):
    source.fetch(FILES, tmp_path / "download")
    (mirror / NAME).unlink()
    source.fetch(FILES, tmp_path / "download")


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], b"X" + CONTENT[1:], CONTENT + b"!"])
def test_a_damaged_file_is_fetched_again(tmp_path, mirror, damage):
    folder = tmp_path / "download"
    folder.mkdir()
    (folder / NAME).write_bytes(damage)
    source.fetch(FILES, folder)
    assert (folder / NAME).read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == [NAME]


def test_a_mirror_with_other_bytes_is_not_believed(tmp_path, mirror):
    (mirror / NAME).write_bytes(CONTENT[::-1])
    with pytest.raises(ToolError, match="is not the file with SHA-256"):
        source.fetch(FILES, tmp_path / "download")
    assert list((tmp_path / "download").iterdir()) == []


def test_the_next_mirror_is_tried(tmp_path, mirror, monkeypatch):
    good = source.mirrors()
    monkeypatch.setattr(source, "mirrors", lambda: [f"copy:{tmp_path}/nowhere/", *good])
    source.fetch(FILES, tmp_path / "download")
    assert (tmp_path / "download" / NAME).read_bytes() == CONTENT


def test_without_network_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "mirrors", lambda: [f"copy:{tmp_path}/nowhere/"])
    with pytest.raises(ToolError, match="--micropython DIR"):
        source.fetch(FILES, tmp_path / "download")


def test_the_machines_own_mirrors_come_archive_first(monkeypatch):
    said = (
        "'http://example.org/debian-security/dists/bookworm-security/InRelease' x 0\n"
        "'http://example.org/debian/dists/bookworm/InRelease' x 0\n"
        "'http://example.org/debian/dists/bookworm-updates/InRelease' x 0\n"
    )
    answer = subprocess.CompletedProcess([], 0, stdout=said)
    monkeypatch.setattr(source, "_run", lambda argv: answer)
    assert source.mirrors() == [
        "http://example.org/debian/",
        "http://example.org/debian-security/",
    ]


def test_the_pinned_package_is_unpacked_whole_and_once(tmp_path, monkeypatch):
    """The real package, from this machine's mirror; two at once do not get in each other's way."""
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    left_over = tmp_path / "source" / "unpack-interrupted"
    left_over.mkdir(parents=True)
    found = []
    runs = [
        threading.Thread(target=lambda: found.append(source.find_source(RELEASE))) for _ in "ab"
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(120)
    assert [one.version for one in found] == ["1.25.0", "1.25.0"]
    assert found[0].path == found[1].path == tmp_path / "source" / f"micropython-{RELEASE}"
    # Debian's patches are applied.
    assert "#$(Q)test -e" in (found[0].path / "py" / "mkrules.mk").read_text()
    assert not left_over.exists()
    unpacked = found[0].path.stat().st_ino
    source.find_source(RELEASE)
    assert found[0].path.stat().st_ino == unpacked


def unpack_little(description: Path, target: Path) -> None:
    """Unpack no package, but what little of one is looked at: the real one takes 2 s each time."""
    checkout(target, "1.25.0")
    (target / "py" / "gc.c").write_text("the collector")
    record(target)


@pytest.mark.parametrize("damage", ["emptied", "missing", "another size", "all gone"])
def test_a_damaged_source_in_our_cache_is_unpacked_again(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    monkeypatch.setattr(source, "fetch", lambda *_: None)
    monkeypatch.setattr(source, "_unpack", unpack_little)
    folder = source.find_source(RELEASE).path
    header, other = folder / "py" / "mpconfig.h", folder / "py" / "gc.c"
    right = header.read_bytes(), other.read_bytes()
    if damage == "emptied":
        header.write_bytes(b"")
    elif damage == "missing":
        other.unlink()
    elif damage == "another size":
        other.write_bytes(right[1][:-1])
    else:
        shutil.rmtree(folder / "py")
    assert source.find_source(RELEASE).path == folder
    assert (header.read_bytes(), other.read_bytes()) == right
    unpacked = folder.stat().st_ino
    source.find_source(RELEASE)
    assert folder.stat().st_ino == unpacked
