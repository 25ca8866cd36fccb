"""Tests what mqboard.toml says of a project: what is read, and what is refused with which words."""

import os
from pathlib import Path

import pytest

from mqhost.build import board as boards
from mqhost.build.freeze import PROJECT
from mqhost.errors import UsageError
from mqhost.link.settingsfile import SettingsFile
from mqhost.paths import find_project
from mqhost.project import model
from mqhost.project.freezing import modules_of, read_frozen
from mqhost.project.model import (
    Project,
    added,
    chosen_board,
    deployable,
    need_project,
    simulated,
)


def write(root: Path, text: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / "mqboard.toml").write_text(text)
    return root


@pytest.fixture
def root(tmp_path) -> Path:
    return write(tmp_path / "shed", '[project]\nname = "shed"\n')


def test_a_project_is_found_from_every_folder_in_it(root, tmp_path):
    (root / "app" / "lib").mkdir(parents=True)
    write(root / "app", 'prefix = "a"\n')  # settings, and no project
    assert find_project(root) == find_project(root / "app" / "lib") == root
    assert find_project(tmp_path) is None
    write(root / "app", "# [project]\n[brokers.project]\n")
    assert find_project(root / "app") == root
    write(root / "app", "  [ project ]\n")
    assert find_project(root / "app") == root / "app"


def test_a_misspelt_table_is_told_instead_of_building_something_else(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path / "shed", '[projekt]\nname = "shed"\n'))
    monkeypatch.setattr(model, "PROJECT", None)
    said = r"mqboard\.toml: unknown key projekt\. .*; tables: .*, project\. Did you mean project\?"
    with pytest.raises(UsageError, match=said):
        chosen_board()


@pytest.mark.parametrize("text", ["[[project]]\n", "project = 1\n", 'project = ["a"]\n'])
def test_a_project_that_is_no_table_is_told_instead_of_building_something_else(tmp_path, text):
    root = write(tmp_path / "shed", 'prefix = "a"\n' + text)
    assert find_project(root) == root
    said = r"shed/mqboard\.toml: project is no table, .* It begins with the line \[project\]"
    for read in (Project.load, lambda at: SettingsFile.read(at / "mqboard.toml")):
        with pytest.raises(UsageError, match=said):
            read(root)


@pytest.mark.parametrize(
    "text", ['project = {name = "shed"}\n', 'project.name = "shed"\n', '["project"]\nname="shed"\n']
)
def test_a_project_in_other_words_of_toml_is_one(tmp_path, text):
    root = write(tmp_path / "hut", text)
    assert find_project(root) == root and Project.load(root).name == "shed"


def test_a_header_without_its_end_is_told_instead_of_building_something_else(tmp_path):
    root = write(tmp_path / "shed", '[project\nname = "shed"\n')
    assert find_project(root) == root
    with pytest.raises(UsageError, match=r"mqboard\.toml.*line 1"):
        Project.load(root)
    assert find_project(write(tmp_path / "other", "[project-x]\n[projects]\n")) is None


def test_a_project_above_that_another_user_has_put_there_is_passed_over(root, monkeypatch):
    (root / "app").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(root).st_uid + 1)
    monkeypatch.setattr("mqhost.paths._ROOT_USER", -1)
    assert find_project(root / "app") is None
    assert find_project(root) == root


def test_who_works_in_a_checkout_of_mqboard_is_in_no_project_around_it(root):
    checkout = root / "mqboard"
    inner = checkout / "trial" / "app"
    inner.mkdir(parents=True)
    assert find_project(checkout, checkout) is None
    assert find_project(inner, checkout) is None
    assert find_project(root, checkout) == root
    write(checkout / "trial", "[project]\n")
    assert find_project(inner, checkout) == checkout / "trial"


def test_what_is_not_said_is_usual(root):
    project = Project.load(root)
    assert (project.name, project.version, project.board) == ("shed", "0.1.0", "sim")
    assert project.find_board().name == "sim"
    own = project.additions()
    assert (own.root, own.version, own.frozen, own.manifest) == (root, "0.1.0", (), None)
    (root / "manifest.py").touch()
    assert project.additions().manifest == root / "manifest.py"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('bord = "sim"', "unknown key bord. Known: name, .* Did you mean board?"),
        ("board = 3", "board is 3; it must be a text"),
        ('frozen = "app"', "frozen is 'app'; it must be a list of texts"),
        ("frozen = [1]", r"frozen is \[1\]; it must be a list of texts"),
        ('version = "1.0 beta"', "version is '1.0 beta'"),
        ('version = "1234567890123456"', "version is .*; it has 1 to 15"),
        ('name = "a shed"', "name: it has a character"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(root, line, words):
    write(root, f"[project]\n{line}\n")
    with pytest.raises(UsageError, match=rf"shed/mqboard\.toml: \[project\] {words}"):
        Project.load(root)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('app = "nope"', "app: there is no folder .*/shed/nope"),
        ('frozen = ["nope"]', "frozen: there is no folder .*/shed/nope"),
        ('c_modules = ["nope"]', "c_modules: there is no folder .*/shed/nope"),
        ('manifest = "nope.py"', "manifest: there is no .*/shed/nope.py"),
    ],
)
def test_what_it_names_and_is_not_there_is_named(root, line, words):
    project = Project.load(write(root, f"[project]\n{line}\n"))
    with pytest.raises(UsageError, match=rf"shed/mqboard\.toml: {words}"):
        project.additions()


def test_a_board_that_is_not_there_is_named_with_the_file_that_wants_it(root):
    project = Project.load(write(root, '[project]\nboard = "shed"\n'))
    with pytest.raises(
        UsageError, match=r"mqboard\.toml: board of \[project\]\. There is no board"
    ):
        project.find_board()
    with pytest.raises(UsageError, match="^There is no board 'attic'"):
        project.find_board("attic")


def test_boards_of_the_project_come_beside_ours(root, monkeypatch):
    monkeypatch.setattr(boards, "PROJECT", root)
    folder = root / "boards" / "shed"
    folder.mkdir(parents=True)
    (folder / "board.toml").write_text('extends = "esp32"\n')
    assert [board.name for board in boards.boards()][:2] == ["shed", "esp32"]
    assert boards.find("shed").folder == folder
    folder.rename(root / "boards" / "sim")
    with pytest.raises(UsageError, match="boards/sim has the name of a board of MQBoard's"):
        boards.find("sim")


def test_what_needs_a_project_says_so(monkeypatch):
    monkeypatch.setattr(model, "PROJECT", None)
    with pytest.raises(UsageError, match="^mqboard test works in a project.* mqboard new NAME"):
        need_project("mqboard test")


def test_boards_are_those_of_the_project_where_nobody_names_one(root, monkeypatch):
    assert (chosen_board().name, simulated().name) == ("sim", "sim")
    monkeypatch.setattr(boards, "PROJECT", root)
    monkeypatch.setattr(model, "PROJECT", root)
    for name, base in (("shed", "sim"), ("roof", "esp32")):
        (root / "boards" / name).mkdir(parents=True)
        (root / "boards" / name / "board.toml").write_text(f'extends = "{base}"\n')
    for name, desk in (("shed", "shed"), ("roof", "sim")):
        write(root, f'[project]\nboard = "{name}"\n')
        assert (chosen_board().name, simulated().name) == (name, desk)
    assert chosen_board("esp32").name == "esp32" and simulated("shed").name == "shed"
    with pytest.raises(UsageError, match="roof is a board with a chip of its own"):
        simulated("roof")


def test_an_application_goes_by_files_unless_the_firmware_has_it(root, monkeypatch):
    assert deployable() is None and deployable(root / "app") == root / "app"
    monkeypatch.setattr(model, "PROJECT", root)
    (root / "app").mkdir()
    assert deployable() == root / "app" and Project.load(root).has_application
    write(root, '[project]\nfrozen = ["app"]\n')
    assert not Project.load(root).has_application
    with pytest.raises(
        UsageError, match=r"app is frozen into the firmware, as .*mqboard\.toml says"
    ):
        deployable()
    assert deployable(root / "other") == root / "other"


def test_folders_are_frozen_without_a_project_too(root, monkeypatch):
    monkeypatch.setattr(model, "PROJECT", None)
    fill(root / "app", pump_py="1", app_toml="[modules.pump]\npin = 4\n")
    found = added([root / "app"])
    assert (found.root, [file.target for file in found.frozen]) == (None, ["pump.py"])
    assert found.modules == {"pump": {"pin": 4}}
    assert added() is None
    monkeypatch.setattr(model, "PROJECT", root)
    assert added([root / "app"]).root == root and added().frozen == ()


def test_settings_stand_in_the_same_file(root, tmp_path):
    write(root, 'prefix = "shed/desk"\n[project]\nname = "shed"\n')
    assert SettingsFile.read(root / "mqboard.toml").values == {"prefix": "shed/desk"}
    with pytest.raises(UsageError, match="unknown key project"):
        SettingsFile.read(root / "mqboard.toml", own=True)


def fill(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        file = folder / name.replace("__", "/").replace("_py", ".py").replace("_toml", ".toml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def test_an_application_is_frozen_by_the_names_that_it_has_on_a_board(tmp_path):
    app = fill(
        tmp_path / "app", pump_py="1", lib__rules_py="2", lib__deep__x_py="3", pump__y_py="4"
    )
    fill(app, app_toml='ignore = ["*.md"]\n[modules.pump]\npin = 4\n', tests__test_pump_py="5")
    (app / "NOTES.md").touch()
    files = read_frozen([app])
    names = {file.target: file.content for file in files}
    assert names == {"pump.py": b"1", "rules.py": b"2", "deep/x.py": b"3", "pump/y.py": b"4"}
    assert {file.origin for file in files} == {PROJECT}
    assert modules_of([app]) == {"pump": {"pin": 4}}


def test_what_is_frozen_besides_makes_a_build_of_no_commit_alone(root, monkeypatch):
    (root / "app").mkdir()
    (root / "app" / "pump.py").write_text("x = 1\n")
    assert not Project.load(root).additions().besides
    assert Project.load(root).additions((root / "app",)).besides
    monkeypatch.setattr(model, "here", lambda: None)
    assert model.added((root / "app",)).besides and model.added() is None


def test_what_cannot_be_frozen_is_named(tmp_path):
    fill(tmp_path / "page", pump_py="").joinpath("index.html").touch()
    with pytest.raises(
        UsageError, match=r'index\.html cannot be frozen.*ignore = \["index.html"\]'
    ):
        read_frozen([tmp_path / "page"])
    fill(tmp_path / "script", main_py="")
    with pytest.raises(UsageError, match="the firmware has a main.py of its own"):
        read_frozen([tmp_path / "script"])
    one, two = fill(tmp_path / "one", rules_py=""), fill(tmp_path / "two", lib__rules_py="")
    with pytest.raises(UsageError, match=r"two/lib/rules\.py and .*one/rules\.py are one module"):
        read_frozen([one, two])
    with pytest.raises(UsageError, match="nope is no folder"):
        read_frozen([tmp_path / "nope"])
