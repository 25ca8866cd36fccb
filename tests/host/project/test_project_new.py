"""Tests `mqboard new` and `mqboard test`: what a new project is made of, and what is refused."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from commandline import command_line, here

from mqhost.build.board import Board
from mqhost.errors import UsageError
from mqhost.paths import ROOT
from mqhost.project import creating
from mqhost.project.creating import create, pin_of
from mqhost.project.model import Project
from mqhost.project.naming import check_name


@pytest.fixture
def new(capsys, tmp_path, monkeypatch):
    """Give new(*words) -> how `mqboard new` ends, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: here(capsys, ["", "", "", "new", *words])


def test_a_new_project_has_all_that_works(new, tmp_path):
    ended = new("greenhouse")
    assert (ended.returncode, ended.stderr) == (0, "")
    root = tmp_path / "greenhouse"
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert names == {
        *(".gitignore", ".github/workflows/firmware.yml", "README.md", "manifest.py"),
        *("mqboard.toml", "pytest.ini", "requirements.txt", "tasks.py", "app/app.toml"),
        *("app/greenhouse.py", "boards/greenhouse/board.toml", "tests/conftest.py"),
        "tests/test_greenhouse.py",
    }
    assert all(f"greenhouse/{name}\n" in ended.stdout for name in names)
    assert "cd greenhouse" in ended.stdout
    for name in names:
        assert "@NAME@" not in (root / name).read_text()
    project = Project.load(root)
    assert (project.name, project.board) == ("greenhouse", "sim")
    assert Board.load(root / "boards" / "greenhouse").port == "esp32"
    assert not project.additions().frozen


def test_its_board_extends_the_one_that_is_asked_for(new, tmp_path):
    assert new("shed", "--board", "esp32c3", "--json").stdout.startswith("{")
    assert Board.load(tmp_path / "shed" / "boards" / "shed").mcu == "esp32c3"
    assert new("attic", "--board", "sim").returncode == 0
    assert Project.load(tmp_path / "attic").board == "attic", "a simulated one, for the desk"


def test_the_tests_of_a_new_project_are_run_and_a_failure_is_told(tmp_path):
    root = tmp_path / "greenhouse"
    create(root)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def test(*words):
        line = command_line(1, "", "test", "-p", "no:cacheprovider", *words)
        return subprocess.run(
            line, cwd=root / "app", env=environment, capture_output=True, text=True, timeout=120
        )

    passed = test("-k", "message")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "1 passed, 1 deselected" in passed.stdout
    assert test("-k", "nothing").returncode == 1, "no test is no success"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Greenhouse", "it has 1 to 24 small letters"),
        ("green-house", "small letters, digits or _"),
        ("1shed", "begins with a letter"),
        ("x" * 25, "1 to 24"),
        ("esp32", "the name of a board of MQBoard's"),
        ("json", "json is a word of Python, or a module that boards have"),
        ("machine", "a module that boards have"),
        ("import", "a word of Python"),
        ("sysinfo", "a module that boards have"),
        ("pytest", "pytest is a module that tests of the project need, and would find yours"),
        ("conftest", "a module that tests of the project need"),
    ],
)
def test_a_name_that_cannot_be_is_refused(new, tmp_path, name, words):
    ended = new(name)
    assert ended.returncode == 2 and words in ended.stderr
    assert not (tmp_path / name).exists()


def test_no_project_has_the_name_of_what_its_firmware_or_its_tests_import():
    frozen = (ROOT / "tests" / "host" / "micropython_frozen.txt").read_text()
    names = {line.partition(" ")[0].partition("/")[0] for line in frozen.splitlines()}
    names = {name.removesuffix(".py") for name in names - {"#"}}
    for folder in ("frozen", "frozen/bridge", "frozen/gateway"):
        paths = (ROOT / folder).glob("*")
        names |= {
            path.stem for path in paths if path.suffix == ".py" or (path / "__init__.py").is_file()
        }
    for path in (ROOT / "host" / "mqhost").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).partition(".")[0])
    assert {"umqtt", "mqgateway", "mqlink", "mqhost", "paho", "littlefs"} < names
    assert not {name for name in names if can_be(name)}


def can_be(name):
    try:
        check_name(name)
    except UsageError:
        return False
    return True


def test_nothing_that_is_there_is_written_over(new, tmp_path):
    (tmp_path / "shed").mkdir()
    (tmp_path / "shed" / "notes").touch()
    ended = new("shed")
    assert ended.returncode == 2 and "not empty; nothing was written" in ended.stderr
    assert [path.name for path in (tmp_path / "shed").iterdir()] == ["notes"]
    (tmp_path / "shed" / "notes").unlink()
    assert new("shed").returncode == 0
    ended = new("attic", "--board", "nope")
    assert ended.returncode == 2 and "no board 'nope'" in ended.stderr


def distribution(version, direct=None):
    class Found:
        def read_text(self, name):
            assert name == "direct_url.json"
            return json.dumps(direct) if direct else None

    Found.version = version
    return lambda name: Found()


@pytest.mark.parametrize(
    ("version", "direct", "line"),
    [
        ("1.2.0", None, "mqboard[testing]==1.2.0"),
        ("1.2.0+4.gabc", None, "mqboard[testing]"),
        ("1.2.0", {"url": "file:///src/mqboard"}, "mqboard[testing] @ file:///src/mqboard"),
        (
            "1.2.0+4.gabc",
            {"url": "https://host/mqboard", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "mqboard[testing] @ git+https://host/mqboard@abc",
        ),
    ],
)
def test_the_pin_is_what_can_be_installed(monkeypatch, tmp_path, version, direct, line):
    monkeypatch.setattr(creating, "distribution", distribution(version, direct))
    assert pin_of().requirement == line
    create(tmp_path / "shed")
    assert line in (tmp_path / "shed" / "requirements.txt").read_text().splitlines()


def test_without_a_package_the_pin_is_this_checkout(monkeypatch):
    def missing(name):
        raise creating.PackageNotFoundError

    monkeypatch.setattr(creating, "distribution", missing)
    assert pin_of().requirement == f"mqboard[testing] @ {ROOT.as_uri()}"


def test_its_workflow_is_pinned_and_passes_the_linter(tmp_path):
    create(tmp_path / "shed")
    workflow = tmp_path / "shed" / ".github" / "workflows" / "firmware.yml"
    used = [
        step["uses"]
        for job in yaml.safe_load(workflow.read_text())["jobs"].values()
        for step in job["steps"]
        if "uses" in step
    ]
    ours = (ROOT / ".github" / "workflows" / "firmware.yml").read_text()
    assert used and all(f"uses: {one} #" in ours for one in used), "the versions that we run"
    program = Path(sys.executable).parent / "zizmor"
    argv = [program, "--offline", "--no-progress", "--strict-collection", "--persona=pedantic"]
    result = subprocess.run([*argv, workflow], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_its_files_are_of_the_house(tmp_path):
    create(tmp_path / "shed")
    for words in (["check"], ["format", "--check"]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--config", ROOT / "pyproject.toml", tmp_path],
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout
    assert tomllib.loads((tmp_path / "shed" / "app" / "app.toml").read_text())["modules"]
