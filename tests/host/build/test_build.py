"""Tests the build for real: MicroPython with our frozen modules becomes images, reproducibly."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from fakecheckout import snapshot

from mqhost.artifacts.opened import open_evidence
from mqhost.attest.check import check
from mqhost.attest.sbom import read_parts
from mqhost.attest.statement import SUBJECTS
from mqhost.build import build as build_module
from mqhost.build.board import find
from mqhost.build.build import BuildResult, build
from mqhost.build.freeze import MICROPYTHON, ORIGINS, OURS, PROJECT
from mqhost.build.images import check_fit
from mqhost.build.revision import Revision
from mqhost.build.sources.source import find_source
from mqhost.cli.tasks.show import build_listing
from mqhost.errors import BuildError, UsageError
from mqhost.flash.espimage import executable_of, verify
from mqhost.flash.partition import TABLE_OFFSET, PartitionTable
from mqhost.paths import config_dir
from mqhost.signing.keys import build_keys
from mqhost.signing.offer import Offer

BOARD = find("sim")
ANOTHER = {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu", "USER": "other"}
ANOTHER |= {"SOURCE_DATE_EPOCH": "1", "CFLAGS": "-O3", "PYTHONHASHSEED": "7", "MAKEFLAGS": "-B"}
REVISION = Revision("1.2.3", "abcdef12", 1_700_000_000)


@pytest.fixture(autouse=True)
def one_revision(monkeypatch):
    """Keep one revision: files may change while the tests run; what is built must not."""

    def revision(version: str | None = None) -> Revision:
        return replace(REVISION, version=version or REVISION.version)

    monkeypatch.setattr(build_module, "read_revision", revision)


@pytest.fixture
def make(tmp_path) -> Callable[..., BuildResult]:
    """Build the sim board into a folder of this test, from the ordinary build tree."""
    place = {"output": tmp_path / "out"}
    return lambda board=BOARD, **options: build(board, **place | options)


def run(result: BuildResult, code: str) -> str:
    """Return what the firmware's executable prints for `code`, with nothing but frozen modules."""
    program = result.folder / "program"
    program.write_bytes(executable_of(result.app.read_bytes()))
    program.chmod(0o755)
    text = f"import sys; sys.path[:] = ['.frozen']\n{code}"
    answer = subprocess.run(
        [program, "-c", text], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout.strip()


def test_the_outputs_fit_together(make):
    result = make()
    app = result.app.read_bytes()
    info = verify(app, BOARD.chip_id)
    assert (info.version, info.project) == ("1.2.3", "mqboard-sim")
    offer = Offer.load(result.offer)
    assert offer.matches(app)
    assert (offer.board, offer.mcu, offer.seq) == ("sim", "esp32", REVISION.time)
    table = BOARD.table
    flash = result.flash.read_bytes()
    assert flash[:TABLE_OFFSET] == b"\xff" * TABLE_OFFSET
    assert PartitionTable.from_bytes(flash[TABLE_OFFSET:]) == table
    assert flash[table.slots[0].offset :] == app
    report = json.loads(result.report.read_text())
    assert report["sha256"] == result.sha256 == offer.sha256
    assert report["headroom"] == table.slots[0].size - len(app)
    source = find_source(BOARD)
    assert report["micropython"] == f"{source.version} ({source.origin})"
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "app.bin",
        "build.json",
        "build.log",
        "flash.bin",
        "image.json",
        "image.sig",
        "provenance.json",
        "sbom.cdx.json",
    ]
    verdict = check(open_evidence(result.folder).files, build_keys().public)
    assert verdict.proven == SUBJECTS and verdict.offer
    assert verdict.provenance.board == "sim" and verdict.provenance.commit == REVISION.commit
    bill = result.sbom.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    _, firmware, parts = read_parts(bill.encode(), "sbom.cdx.json")
    assert firmware.sha256 == result.sha256
    named = {part.name: part for part in parts}
    assert {"MicroPython", "littlefs", "libmbedtls", "mqbuild.py", "tlspsk/tlspsk.c"} <= set(named)
    assert {module.path for module in result.modules} <= set(named)
    [key] = report["keys"]
    assert offer.key == key
    assert str(config_dir()) not in result.report.read_text()


def test_the_offer_is_signed_by_a_key_that_the_firmware_knows(make):
    result = make()
    offer = Offer.load(result.offer)
    [key] = build_keys().public
    assert key.signed(result.offer.read_bytes(), offer.signature)
    code = "import mqbuild, hashlib, binascii; print(len(mqbuild.KEYS), len(mqbuild.KEYS[0]), "
    code += "binascii.hexlify(hashlib.sha256(mqbuild.KEYS[0]).digest()[:8]).decode())"
    assert run(result, code) == f"1 384 {key.id}"


def test_a_build_without_the_private_key_leaves_the_signature_out(make, tmp_path, monkeypatch):
    signed = make(output=tmp_path / "same")
    monkeypatch.setenv("MQBOARD_PUBLIC_KEYS", build_keys().public[0].pem())
    said = []
    unsigned = make(output=tmp_path / "same", progress=lambda *words: said.append(words[0]))
    assert not unsigned.signature.exists() and unsigned.sha256 == signed.sha256
    [line] = [line for line in said if "image.sig" in line]
    assert "left out" in line and "mqboard sign" in line
    for words in ("no image.sig", build_keys().name, "MQBOARD_SIGNING_KEY=KEY mqboard sign"):
        assert words in unsigned.signing


def test_a_board_without_keys_says_so(make, monkeypatch):
    result = make(replace(BOARD, signing="none"))
    assert "everybody" in result.signing
    assert run(result, "import mqbuild; print(mqbuild.KEYS)") == "()"
    assert Offer.load(result.offer).key == ""
    assert not result.signature.exists()


def test_the_firmware_knows_what_it_is(make):
    names = ("BOARD", "MCU", "VERSION", "SEQ", "BUILD_TIME", "COMMIT", "COMMITTED")
    code = "import mqbuild; print([" + ", ".join(f"mqbuild.{name}" for name in names) + "])"
    time = REVISION.time
    assert run(make(), code) == repr(["sim", "esp32", "1.2.3", time, time, "abcdef12", True])


def test_the_firmware_has_what_the_board_needs(make):
    code = "import mqwire.update; sys.path.clear()\n"  # built in, not the sim's stand-ins
    code += "import tls, hashlib, cryptolib, deflate, _thread, os\n"
    code += "print(callable(os.dupterm), hasattr(tls, 'SSLContext'))"
    assert run(make(), code) == "True True"


def test_each_frozen_module_is_listed_with_its_bytes(make):
    result = make()
    modules = {module.path: module for module in result.modules}
    assert {"main.py", "_boot.py", "mqbuild.py", "mqwire/__init__.py"} <= modules.keys()
    assert all(module.size > 0 for module in modules.values())
    assert modules["mqbuild.py"].origin == OURS
    assert modules["requests/__init__.py"].origin == MICROPYTHON


def test_the_table_says_what_each_module_and_each_origin_costs(make):
    result = make()
    rows = build_listing(result).rows
    for origin in ORIGINS:
        sizes = [module.size for module in result.modules if module.origin == origin]
        line = (f"{len(sizes)} from {origin}", f"{sum(sizes):,} B")
        assert (line in rows) == (origin != PROJECT), "of a project there is none"
    for module in result.modules:
        assert (module.path, f"{module.size:,} B") in rows


def test_a_module_on_top_replaces_ours_and_goes_again(make, tmp_path):
    extra = tmp_path / "extra" / "mqwire"
    extra.mkdir(parents=True)
    (extra / "update.py").write_text("RAW = 'ours no more'\n")
    (extra.parent / "addition.py").write_text("X = 1\n")
    code = "import mqwire.update as u; print(u.RAW)"
    before = make()
    changed = make(extra_frozen=extra.parent, output=tmp_path / "changed")
    assert run(changed, code + "; import addition") == "ours no more"
    after = make()
    assert after.sha256 == before.sha256 != changed.sha256
    assert "addition.py" not in {module.path for module in after.modules}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Path:
    """Make a folder with a copy of MicroPython's source, and with room for a cache."""
    folder = tmp_path_factory.mktemp("elsewhere")
    source = find_source(BOARD).path
    git = shutil.ignore_patterns(".git")
    shutil.copytree(source, folder / "micropython", symlinks=True, ignore=git)
    return folder


def test_a_module_that_does_not_compile_is_named(make, elsewhere, tmp_path, monkeypatch):
    """Done elsewhere: the next build there begins anew, as that of the next test does anyway."""
    monkeypatch.setenv("MQBOARD_CACHE", str(elsewhere / "cache"))
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "broken.py").write_text("def (:\n")
    with pytest.raises(BuildError, match=r"(?s)build\.log ends with:.*broken\.py.*SyntaxError"):
        make(micropython=elsewhere / "micropython", extra_frozen=tmp_path / "extra")
    assert not (tmp_path / "out" / "app.bin").exists()


def test_the_same_inputs_give_the_same_bytes_wherever_they_lie(
    make, elsewhere, tmp_path, monkeypatch
):
    """Another source, which stays as it was, and another cache, where a build has failed; as if by
    another user, on another day."""
    here = make()
    copy = elsewhere / "micropython"
    before = snapshot(copy)
    monkeypatch.setenv("MQBOARD_CACHE", str(elsewhere / "cache"))
    for name, value in ANOTHER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    umask = os.umask(0o077)
    try:
        there = make(micropython=copy, output=tmp_path / "there")
    finally:
        os.umask(umask)
    assert there.app.read_bytes() == here.app.read_bytes()
    assert there.flash.read_bytes() == here.flash.read_bytes()
    assert there.offer.read_bytes() == here.offer.read_bytes()
    one, other = (read_parts(made.sbom.read_bytes(), "x")[2] for made in (here, there))
    assert one[1:] == other[1:] and one[0].name == other[0].name == "MicroPython"
    for folder in (tmp_path, elsewhere):
        assert str(folder).encode() not in there.app.read_bytes()
    assert snapshot(copy) == before


def test_a_rebuild_compiles_only_what_changed(make, elsewhere, monkeypatch):
    """In a cache where nobody else builds meanwhile."""
    monkeypatch.setenv("MQBOARD_CACHE", str(elsewhere / "cache"))
    source = elsewhere / "micropython"
    make(micropython=source)
    result = make(micropython=source, version="1.2.4")
    lines = result.log.read_text().splitlines()
    assert [line for line in lines if line.startswith("MPY ")] == ["MPY mqbuild.py"]
    assert len([line for line in lines if line.startswith("CC ")]) == 1
    assert run(result, "import mqbuild; print(mqbuild.VERSION)") == "1.2.4"


def test_an_image_that_does_not_fit_says_the_numbers_and_what_to_do(make, tmp_path):
    slots = "nvs,data,nvs,0x9000,0x4000\notadata,data,ota,0xd000,0x2000\n"
    slots += "ota_0,app,ota_0,,64K\nota_1,app,ota_1,,64K\n"
    small = tmp_path / "partitions.csv"
    small.write_text(slots)
    with pytest.raises(BuildError) as caught:
        build(replace(BOARD, partitions=small), output=tmp_path / "out")
    text = str(caught.value)
    assert "slot ota_0 holds 65,536 B" in text
    assert f"Remove modules from {BOARD.manifest}" in text
    assert not (tmp_path / "out" / "app.bin").exists()


def test_an_image_may_fill_its_slot_to_the_last_byte():
    slot = BOARD.table.slots[0]
    check_fit(BOARD, slot.size, slot)
    with pytest.raises(BuildError, match="1 B too few"):
        check_fit(BOARD, slot.size + 1, slot)


def test_a_wrong_request_is_refused_before_anything_is_done(make, tmp_path):
    with pytest.raises(UsageError, match="no builder 'magic'"):
        make(builder="magic")
    with pytest.raises(UsageError, match="no MicroPython checkout"):
        make(micropython=tmp_path)
    assert not (tmp_path / "out").exists()
