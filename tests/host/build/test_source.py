"""Tests finding MicroPython's sources: checkouts recognised, downloads checked and made whole."""

import hashlib
import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mqhost.build.board import boards, find
from mqhost.build.sources import source, upstream
from mqhost.build.sources.integrity import record
from mqhost.errors import ToolError, UsageError

RELEASE = "1.25.0+ds-1"
SIM = replace(find("sim"), micropython="v1.28.0", fallback=RELEASE)
REAL = replace(find("esp32"), micropython="v1.28.0")
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
    found = source.find_source(SIM, checkout(tmp_path / "m", version))
    assert (found.version, found.path) == (version, tmp_path / "m")


def test_an_old_checkout_is_refused_with_the_numbers(tmp_path):
    with pytest.raises(UsageError, match=r"is MicroPython 1\.24\.1; MQBoard needs 1\.25 or newer"):
        source.find_source(SIM, checkout(tmp_path / "m", "1.24.1"))


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no MicroPython checkout"):
        source.find_source(SIM, tmp_path)


def test_a_release_without_hashes_is_refused():
    with pytest.raises(UsageError, match="known: 1.25.0"):
        source.release_source("9.9.9")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Make a cache folder with Debian's package unpacked, such as it is, and no other source."""
    monkeypatch.delenv(source.VARIABLE, raising=False)
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "source"
    record(checkout(folder / f"micropython-{RELEASE}", "1.25.0"))
    monkeypatch.setattr(upstream, "_git", lambda *_: pytest.fail("it began to clone"))
    return folder


def clone(cache: Path) -> Path:
    """Put what passes for a clone of the release into the cache."""
    folder = checkout(cache / "micropython-v1.28.0", "1.28.0")
    (folder / upstream.LIBRARY).mkdir(parents=True)
    (folder / upstream.LIBRARY / "README.md").touch()
    record(folder)
    return folder


def found(board, micropython=None) -> tuple[str, str, list[str]]:
    """Return (version, origin, what was said), and check that a dry run would say the same."""
    said: list[str] = []
    here = source.find_source(board, micropython, lambda what, *_: said.append(what))
    assert source.planned_source(board, micropython) == here
    return here.version, here.origin, said


def test_the_simulated_board_falls_back_to_debian_where_no_clone_is(cache):
    version, origin, said = found(SIM)
    assert (version, origin) == ("1.25.0", f"Debian {RELEASE}")
    assert said == [
        f"MicroPython: Debian {RELEASE}, as v1.28.0 is not in the cache "
        "(--micropython v1.28.0 clones it)"
    ]


def test_it_is_built_from_the_clone_that_real_boards_use(cache):
    clone(cache)
    assert found(SIM) == ("1.28.0", "v1.28.0", ["MicroPython: v1.28.0, which the cache has"])
    assert found(REAL) == ("1.28.0", "v1.28.0", [])


def test_a_damaged_clone_is_none_to_build_the_simulated_board_from(cache):
    (clone(cache) / upstream.LIBRARY / "README.md").unlink()
    assert found(SIM)[1] == f"Debian {RELEASE}"


def test_a_release_is_asked_for_by_its_name(cache):
    clone(cache)
    assert found(SIM, RELEASE) == ("1.25.0", f"Debian {RELEASE}", [])
    assert found(SIM, "v1.28.0") == ("1.28.0", "v1.28.0", [])


def test_the_environment_chooses_for_the_simulated_board_alone(cache, tmp_path, monkeypatch):
    clone(cache)
    monkeypatch.setenv(source.VARIABLE, RELEASE)
    said = [f"MicroPython: Debian {RELEASE}, as MQBOARD_SIM_MICROPYTHON says"]
    assert found(SIM) == ("1.25.0", f"Debian {RELEASE}", said)
    mine = checkout(tmp_path / "mine", "1.29.0")
    monkeypatch.setenv(source.VARIABLE, str(mine))
    said = [f"MicroPython: {mine}, as MQBOARD_SIM_MICROPYTHON says"]
    assert found(SIM) == ("1.29.0", "checkout", said)
    assert found(SIM, "v1.28.0")[1] == found(REAL)[1] == "v1.28.0"


def test_the_simulated_board_is_of_the_release_that_real_boards_are_of():
    sim = find("sim")
    assert {sim.micropython} == {board.micropython for board in boards() if board.port == "esp32"}
    assert sim.fallback in source.DEBIAN


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
    monkeypatch.delenv(source.VARIABLE, raising=False)
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    left_over = tmp_path / "source" / "unpack-interrupted"
    left_over.mkdir(parents=True)
    found = []
    runs = [threading.Thread(target=lambda: found.append(source.find_source(SIM))) for _ in "ab"]
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
    source.release_source(RELEASE)
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
    folder = source.release_source(RELEASE)
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
    assert source.release_source(RELEASE) == folder
    assert (header.read_bytes(), other.read_bytes()) == right
    unpacked = folder.stat().st_ino
    source.release_source(RELEASE)
    assert folder.stat().st_ino == unpacked
