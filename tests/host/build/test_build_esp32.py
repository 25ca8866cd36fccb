"""Tests builds of ESP32 boards with the native builder, make, mpy-cross and a fake ESP-IDF."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fakecheckout import snapshot
from fakeidf import REAL, make_idf
from rsakeys import private_pem

from mqhost.attest.dsse import Envelope
from mqhost.attest.statement import Provenance
from mqhost.build import build as build_module
from mqhost.build.additions import Additions
from mqhost.build.board import Board, boards, find
from mqhost.build.build import BuildResult, build, dry_run
from mqhost.build.freeze import MICROPYTHON, PROJECT, FrozenFile
from mqhost.build.revision import Revision
from mqhost.errors import BuildError, ToolError, UsageError
from mqhost.flash.espimage import ImageError, verify
from mqhost.flash.partition import TABLE_OFFSET, PartitionTable
from mqhost.flash.sigblock import signed_by
from mqhost.paths import ROOT
from mqhost.signing.offer import Offer
from mqhost.signing.secure_boot import KEY

REVISION = Revision("1.2.3", "abcdef12", 1_700_000_000)


@pytest.fixture
def make(tmp_path, monkeypatch, checkout) -> Callable[..., BuildResult]:
    """Build a board natively, from a checkout, in a cache of its own."""
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IDF_PATH", str(make_idf(tmp_path / "idf")))
    monkeypatch.setattr(
        build_module,
        "read_revision",
        lambda version=None: replace(REVISION, version=version or REVISION.version),
    )
    return lambda board=None, **options: build(
        board or find("esp32"),
        **{"builder": "native", "micropython": checkout, "output": tmp_path / "out"} | options,
    )


def asked(tmp_path: Path) -> dict:
    """Return what idf.py was asked for."""
    (file,) = (tmp_path / "cache" / "build").glob("*/make/idf-calls.json")
    return json.loads(file.read_text())


@pytest.mark.parametrize("board", REAL, ids=lambda board: board.name)
def test_the_images_are_those_of_the_port(make, tmp_path, board: Board):
    result = make(board)
    app, flash = result.app.read_bytes(), result.flash.read_bytes()
    assert verify(app, board.chip_id).chip_id == board.chip_id
    assert result.slot_size == board.table.slots[0].size
    assert flash[0] == 0xE9  # the bootloader: where flash.bin begins is the flash offset
    table = board.table
    assert PartitionTable.from_bytes(flash[TABLE_OFFSET - board.flash_offset :]) == table
    assert flash[table.slots[0].offset - board.flash_offset :] == app
    offer = Offer.load(result.offer)
    assert offer.matches(app)
    assert (offer.board, offer.mcu, offer.version) == (board.name, board.mcu, "1.2.3")
    assert offer.chip_id == board.chip_id
    report = json.loads(result.report.read_text())
    assert report["flash_offset"] == board.flash_offset
    assert report["tools"][0] == "espressif/idf:v5.5.1"
    assert report["modules"]["mqboard/board.py"] > 1000
    assert {"_boot.py", "flashbdev.py", "mqbuild.py"} <= report["modules"].keys()
    assert report["origins"].keys() == report["modules"].keys()
    assert report["origins"]["neopixel.py"] == MICROPYTHON


def test_idf_is_asked_as_the_port_wants_it(make, tmp_path):
    make()
    call = asked(tmp_path)
    assert call["options"]["MICROPY_BOARD"] == "esp32"
    assert call["options"]["MICROPY_BOARD_DIR"] == str(find("esp32").folder)
    assert call["options"]["MICROPY_FROZEN_MANIFEST"].endswith("/manifest.py")
    assert call["environment"]["SOURCE_DATE_EPOCH"] == str(REVISION.time)
    assert call["environment"]["IDF_TARGET"] == "esp32"
    assert call["environment"]["MICROPY_GIT_TAG"] == "v1.25.0"
    assert call["environment"]["CCACHE_DIR"] == str(tmp_path / "cache" / "ccache")


def test_a_larger_flash_is_one_option(make, tmp_path):
    large = find("esp32s3").with_flash(16 << 20)
    result = make(large)
    assert result.slot_size == 4 << 20
    assert "CONFIG_ESPTOOLPY_FLASHSIZE_16MB=y" in asked(tmp_path)["local"].splitlines()
    assert asked(tmp_path)["options"]["MQBOARD_SPIRAM"] == "quad"
    assert Offer.load(result.offer).board == "esp32s3-16mib"  # no update for others
    assert (tmp_path / "out" / "flash.bin").stat().st_size > TABLE_OFFSET


@pytest.fixture
def vault(tmp_path, monkeypatch) -> Board:
    """Make a board with secure boot, and a key for it."""
    folder = tmp_path / "boards" / "vault"
    folder.mkdir(parents=True)
    (folder / "board.toml").write_text(
        'extends = "esp32c6"\n[secure]\nsecure_boot = "ecdsa256"\nflash_encryption = "release"\n'
    )
    monkeypatch.setenv(KEY, private_pem(ec.derive_private_key(7, ec.SECP256R1())))
    return Board.load(folder)


def test_a_secured_board_is_signed_for_its_chip(make, tmp_path, vault):
    result = make(vault)
    app, flash = result.app.read_bytes(), result.flash.read_bytes()
    assert Offer.load(result.offer).matches(app)  # what boards check covers the signature, too
    assert verify(app, vault.chip_id).size < len(app)
    key = signed_by(app)
    assert key and signed_by(flash[:0x7000]) == key  # the bootloader, and its sector
    assert PartitionTable.from_bytes(flash[0xE000:0xF000], 0xE000) == vault.table
    assert flash[vault.table.slots[0].offset :] == app
    assert result.secure == "secure boot with ecdsa256 and flash encryption (release)"
    assert json.loads(result.report.read_text())["secure"] == result.secure
    assert "CONFIG_PARTITION_TABLE_OFFSET=0xe000" in asked(tmp_path)["local"]
    # The key is nowhere that the compiler could have seen it.
    files = [path for path in (tmp_path / "cache" / "build").rglob("*") if path.is_file()]
    assert files and not any(b"PRIVATE KEY" in path.read_bytes() for path in files)


def test_without_its_key_a_secured_board_is_not_even_compiled(make, tmp_path, vault, monkeypatch):
    monkeypatch.delenv(KEY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(UsageError, match="There is no key for secure boot.*secure-boot-ecdsa256"):
        make(vault)
    monkeypatch.setenv(KEY, str(ROOT / "boards" / "key.pem"))
    with pytest.raises(UsageError, match="lies in the git repository"):
        make(vault)
    assert not (tmp_path / "cache" / "build").exists()


def test_a_bootloader_that_its_signature_makes_too_large_is_told(make, vault, monkeypatch):
    monkeypatch.setenv("IDF_FAKE_BOOTLOADER", str(0xE000))
    with pytest.raises(BuildError, match="signed bootloader is 61,440 B; there are 57,344 B"):
        make(vault)


def test_the_source_is_only_read(make, checkout):
    before = snapshot(checkout)
    make()
    assert snapshot(checkout) == before


def test_a_second_build_goes_on_from_the_first(make, tmp_path):
    make()
    (marker,) = (tmp_path / "cache" / "build").glob("*/make")
    (marker / "kept").touch()
    make(version="2.0.0")
    assert (marker / "kept").exists()


def test_local_options_are_handed_on_and_recorded(make, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("# for the bench\nCONFIG_LOG_DEFAULT_LEVEL_INFO=y\n")
    two.write_text('CONFIG_LWIP_LOCAL_HOSTNAME="shed"')
    result = make(sdkconfig=[one, two])
    wanted = ["CONFIG_LOG_DEFAULT_LEVEL_INFO=y", 'CONFIG_LWIP_LOCAL_HOSTNAME="shed"']
    assert asked(tmp_path)["local"].splitlines() == wanted
    report = json.loads(result.report.read_text())
    assert [item["name"] for item in report["sdkconfig"]] == [str(one), str(two)]
    assert [line for item in report["sdkconfig"] for line in item["lines"]] == wanted


def test_other_local_options_configure_anew(make, tmp_path):
    make()
    (marker,) = (tmp_path / "cache" / "build").glob("*/make")
    (marker / "stale").touch()
    (tmp_path / "one").write_text("CONFIG_X=y\n")
    make(sdkconfig=[tmp_path / "one"])
    assert not (marker / "stale").exists()


@pytest.mark.parametrize(("text", "line"), [("CONFIG_A=y\nconfig_b=y", 2), ("A=y", 1)])
def test_a_line_that_sets_nothing_is_named(tmp_path, text, line):
    (tmp_path / "local").write_text(text)
    with pytest.raises(UsageError, match=f"local, line {line}: "):
        dry_run(find("esp32"), sdkconfig=[tmp_path / "local"])


def test_local_options_make_no_sense_for_the_simulated_board(tmp_path):
    with pytest.raises(UsageError, match="not built with ESP-IDF"):
        dry_run(find("sim"), sdkconfig=[tmp_path / "local"])


def test_another_chips_image_never_leaves_the_build(make, monkeypatch, tmp_path):
    monkeypatch.setenv("IDF_FAKE_CHIP", "5")
    with pytest.raises(ImageError, match="for ESP32-C3; this board is ESP32"):
        make()
    assert not (tmp_path / "out" / "app.bin").exists()


def test_another_layout_never_leaves_the_build(make, monkeypatch, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text(find("esp32s3").layout_csv)
    monkeypatch.setenv("IDF_FAKE_CSV", str(other))
    with pytest.raises(BuildError, match=r"not laid out as .*boards/esp32/board.toml says"):
        make()
    assert not (tmp_path / "out" / "flash.bin").exists()


def test_an_image_too_large_is_told_with_numbers_and_what_to_trim(make, monkeypatch):
    monkeypatch.setenv("IDF_FAKE_SIZE", "1600000")
    for _ in range(2):
        with pytest.raises(BuildError, match=r"app.bin is 1,600,\d+ B; slot ota_0 holds 1,572,864"):
            make()


def test_a_compile_error_after_an_image_too_large_is_told_as_itself(make, monkeypatch):
    monkeypatch.setenv("IDF_FAKE_SIZE", "1600000")
    with pytest.raises(BuildError, match="slot ota_0 holds"):
        make()
    monkeypatch.setenv("IDF_FAKE_FAIL", "compile")
    with pytest.raises(BuildError, match="it does not compile"):
        make()


def test_a_checkout_without_its_library_is_told_what_to_do(make, debian):
    with pytest.raises(BuildError, match=r"(?s)'ntptime' not found.*submodule update --init lib/"):
        make(micropython=debian)


def test_a_board_with_a_smaller_manifest_needs_no_library(make, debian):
    board = replace(find("esp32"), manifest=ROOT / "manifest" / "esp32_small.py")
    assert "mip/__init__.py" not in {m.path for m in make(board, micropython=debian).modules}


def test_without_idf_the_build_does_not_begin(make, monkeypatch):
    monkeypatch.delenv("IDF_PATH")
    with pytest.raises(ToolError, match="IDF_PATH does not say where it is"):
        make()


def test_progress_counts_as_ninja_does(make):
    heard: list[tuple[str, int, int]] = []
    make(progress=lambda *report: heard.append(report))
    assert ("compiling", 1, 2) in heard
    assert ("compiling", 2, 2) in heard


def test_a_dry_run_needs_neither_network_nor_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for board in boards():
        work = dry_run(board)
        assert work.steps
        assert work.tree.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_board_of_a_project_is_built_out_of_its_own_folder_and_that_of_ours(make, tmp_path):
    folder = tmp_path / "boards" / "shed"
    folder.mkdir(parents=True)
    (folder / "board.toml").write_text('extends = "esp32"\nflash_size = "8MiB"\n')
    (folder / "sdkconfig.board").write_text("# own\n")
    module = tmp_path / "cmodules" / "tally"
    module.mkdir(parents=True)
    (module / "micropython.cmake").write_text("# tally\n")
    frozen = (FrozenFile("pump.py", b"x = 1\n", origin=PROJECT),)
    more = {"c_modules": (tmp_path / "cmodules",), "besides": True}
    own = Additions(frozen=frozen, modules={"pump": {}}, **more)
    result = make(Board.load(folder), own=own)
    assert result.slot_size > 0x180000, "as its flash is larger"
    options = asked(tmp_path)["options"]
    given = Path(options["MICROPY_BOARD_DIR"])
    assert given.name == "shed" and given.is_relative_to(tmp_path / "cache" / "build")
    assert (given / "sdkconfig.board").read_text() == "# own\n"
    assert (given / "mpconfigboard.cmake").is_file() and (given.parent / "common").is_dir()
    modules = Path(options["MQBOARD_C_MODULES"])
    named = modules.parent / "modules" / "tally" / "micropython.cmake"
    assert named.is_file() and "modules/tally/micropython.cmake" in modules.read_text()
    report = json.loads(result.report.read_text())
    assert report["board"] == "shed" and report["application"] == {"pump": {}}
    assert report["origins"]["pump.py"] == PROJECT
    told = Envelope.from_bytes(result.provenance.read_bytes(), "x").payload
    assert Provenance.from_bytes(told, "x").changed, "no commit has what was only named here"
