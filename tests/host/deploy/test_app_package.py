"""Tests packages of applications: what is packed comes out, and what is no package is refused."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from commandline import command_line, here

from mqhost.deploy.application import Application
from mqhost.deploy.folder import Source
from mqhost.deploy.history import History
from mqhost.deploy.package import LARGEST, pack, unpack
from mqhost.errors import UsageError
from mqhost.paths import config_dir
from mqhost.signing.keys import CURRENT, load_signing_key, make_key

FILES = {"main.py": b"print(1)\n", "lib/a.py": b"", "data.bin": bytes(range(256)) * 40}


@pytest.fixture(scope="module")
def key():
    make_key(CURRENT)
    return load_signing_key(config_dir() / CURRENT)


def application(key=None):
    source = Source(Path("/nowhere"), "pumps", "", {"main": {}}, FILES)
    return Application.make(source, History("1.0", 1_700_000_000, True), key)


def entries(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def test_what_is_packed_comes_out_signed_or_not(key):
    for one in (application(), application(key)):
        assert unpack(pack(one)) == one
        assert pack(one) == pack(one)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"files/main.py": b"evil"}, "main.py in the package is not what"),
        ({"files/main.py": None}, "main.py in the package is not what"),
        ({"files/more.py": b""}, "not in its manifest"),
        ({"../x": b""}, "not in its manifest"),
        ({"manifest.sig": None}, "its signature is missing"),
        ({"manifest.sig": bytes(384)}, "is not signed with key"),
        ({"manifest.json": None}, "no package of an application"),
        ({"manifest.json": b"[" * 100_000}, "makes no sense"),
        ({"manifest.json": b"{}"}, "makes no sense"),
    ],
)
def test_what_was_changed_is_refused(key, change, sentence):
    found = entries(pack(application(key))) | change
    with pytest.raises(UsageError, match=sentence):
        unpack(packed({name: data for name, data in found.items() if data is not None}))


@pytest.mark.parametrize("path", ["../up", "/root", "a//b", "a/./b", ""])
def test_a_path_that_leads_elsewhere_is_refused(path):
    found = entries(pack(application()))
    record = json.loads(found["manifest.json"])
    record["files"][0][0] = path
    with pytest.raises(UsageError, match="makes no sense"):
        unpack(packed(found | {"manifest.json": json.dumps(record)}))


def test_what_is_no_package_is_told():
    for data in (b"", b"PK\x03\x04", pack(application())[:-30]):
        with pytest.raises(UsageError, match="no package of an application"):
            unpack(data)


def test_one_that_unpacks_to_more_than_a_board_has_is_refused():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("files/large", bytes(LARGEST * 2))
    with pytest.raises(UsageError, match="more than"):
        unpack(made.getvalue())


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--pack", "x.zip", "--list"], "are for a folder DIR"),
        (["{folder}", "--pack", "x.zip", "--dry-run"], "--pack goes to no board"),
        (["{folder}", "--pack", "{folder}/no/x.zip"], "cannot be written"),
    ],
)
def test_a_line_that_makes_no_sense_is_told(capsys, tmp_path, words, sentence):
    (tmp_path / "main.py").write_bytes(b"")
    words = [word.replace("{folder}", str(tmp_path)) for word in words]
    ended = here(capsys, command_line(1, "", "deploy", *words))
    assert ended.returncode == 2 and sentence in ended.stderr


def test_without_a_broker_it_is_packed_and_said_how(capsys, tmp_path, key):
    (tmp_path / "pumps").mkdir()
    (tmp_path / "pumps" / "main.py").write_bytes(b"print(1)")
    target = tmp_path / "pumps.zip"
    line = command_line(1, "", "deploy", f"{tmp_path}/pumps", "--pack", f"{target}", "--json")
    told = json.loads(here(capsys, line).stdout)
    made = unpack(target.read_bytes())
    assert told["id"] == made.id and told["key"] == key.public.id and made.signature
