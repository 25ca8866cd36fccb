"""Tests which of MicroPython's own modules are frozen: all that its ESP32 firmware has."""

import ast
from pathlib import Path

from fakecheckout import recorded, recorded_release
from fakeidf import REAL

from mqhost.build.board import boards
from mqhost.build.freeze import ASYNCIO, MICROPYTHON, OURS, read_manifest
from mqhost.build.sources.upstream import LIBRARY, has_library, release_folder
from mqhost.paths import FROZEN, ROOT

MANIFESTS = ROOT / "manifest"
# In their place stand ours: frozen/_boot.py makes the filesystem, too.
REPLACED = {"_boot.py", "inisetup.py"}
BRIDGE = {"mqbridge.py", "mqlink.py"}  # from frozen/bridge


def frozen(manifest: Path, source: Path, port: str = "esp32") -> dict[str, str]:
    """Return what a manifest freezes out of `source`: path on the board → origin."""
    variables = {
        "MPY_DIR": str(source),
        "MPY_LIB_DIR": str(source / LIBRARY),
        "PORT_DIR": str(source / "ports" / port),
    }
    return {file.target: file.origin for file in read_manifest(manifest, variables)}


def theirs(files: dict[str, str]) -> set[str]:
    return {target for target, origin in files.items() if origin != OURS}


def test_boards_freeze_all_that_micropythons_own_firmware_freezes(checkout):
    files = frozen(MANIFESTS / "esp32.py", checkout)
    assert theirs(files) == {module.target for module in recorded()} - REPLACED
    assert files["_boot.py"] == OURS
    assert (files["asyncio/core.py"], files["umqtt/simple.py"]) == (ASYNCIO, MICROPYTHON)
    ours = {path.relative_to(FROZEN).as_posix() for path in FROZEN.rglob("*.py")}
    # MQTT 5 and the gateway are for who asks for them; the bridge's target is no board of ours.
    apart = ("bridge/", "gateway/", "mqboard/mqtt5/")
    ours = {name for name in ours if not name.startswith(apart)} | BRIDGE
    assert {target for target, origin in files.items() if origin == OURS} == ours


def test_no_board_has_mqtt_5_that_has_not_asked_for_it(checkout):
    """Its 21 KB are for whoever includes manifest/mqtt5.py."""
    manifests = {(board.manifest, board.port) for board in boards()}
    manifests |= {(MANIFESTS / "esp32_small.py", "esp32"), (MANIFESTS / "client.py", "esp32")}
    for manifest, port in manifests:
        names = frozen(manifest, checkout, port)
        assert "mqboard/mqtt/client.py" in names
        assert not [name for name in names if name.startswith("mqboard/mqtt5")], manifest
    asked = frozen(MANIFESTS / "mqtt5.py", checkout)
    assert "mqboard/mqtt5/client.py" in asked


def test_the_gateway_is_there_where_a_manifest_includes_it(debian):
    targets = frozen(MANIFESTS / "gateway.py", debian).keys()
    folder = FROZEN / "gateway" / "mqgateway"
    assert targets == {f"mqgateway/{path.name}" for path in folder.glob("*.py")} | {"mqpipe.py"}
    assert "mqpipe.py" not in frozen(MANIFESTS / "esp32_small.py", debian)


def test_the_bridge_is_left_out_where_every_byte_counts(debian):
    assert not BRIDGE & frozen(MANIFESTS / "esp32_small.py", debian).keys()


def test_the_record_is_of_the_release_that_boards_are_built_from():
    assert {board.micropython for board in REAL} == {recorded_release()}
    assert {board.manifest for board in REAL} == {MANIFESTS / "esp32.py"}


def test_the_record_is_what_micropythons_own_manifest_says(debian, checkout):
    """Takes the release in the cache, if one was built here; and Debian's manifest, which is older
    but names the same, read where the library is whole.
    """
    recorded_targets = {module.target for module in recorded()}
    release = release_folder(recorded_release())
    if has_library(release):
        manifest = release / "ports" / "esp32" / "boards" / "manifest.py"
        assert frozen(manifest, release).keys() == recorded_targets
    manifest = debian / "ports" / "esp32" / "boards" / "manifest.py"
    assert frozen(manifest, checkout).keys() == recorded_targets


def test_a_smaller_manifest_needs_no_library(debian):
    small = frozen(MANIFESTS / "esp32_small.py", debian)
    assert {target for target in theirs(small) if not target.startswith("asyncio/")} == {
        "flashbdev.py",
        "uasyncio.py",
    }


def test_the_simulated_board_freezes_what_is_at_hand(debian, checkout):
    def library(source: Path) -> set[str]:
        files = frozen(MANIFESTS / "sim.py", source, "unix")
        return {target for target, origin in files.items() if origin == MICROPYTHON}

    assert library(debian) == {"mip/__init__.py", "requests/__init__.py"}
    text = (MANIFESTS / "library.py").read_text()
    names = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    assert library(checkout) == {
        module.target for module in recorded() if Path(module.folder).name in names
    }
