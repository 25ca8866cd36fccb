"""Tests which files of a folder are an application, how it is called, and how old it is."""

import base64
import json
import os

import pytest
from gitrepo import COMMIT_TIME, git
from rsakeys import rsa_key

from mqhost.deploy.application import Application
from mqhost.deploy.compile import compiled
from mqhost.deploy.folder import read_folder
from mqhost.deploy.history import read_history
from mqhost.errors import UsageError
from mqhost.signing.keys import SigningKey


@pytest.fixture
def folder(tmp_path):
    """Give the folder of an application."""
    made = tmp_path / "green house"
    (made / "lib").mkdir(parents=True)
    (made / "pump.py").write_text("x = 1\n")
    (made / "lib" / "driver.py").write_text("y = 2\n")
    spec(made, "[modules.pump]\n")
    return made


def spec(folder, text):
    (folder / "app.toml").write_text(text)


def test_without_app_toml_it_has_the_folders_name_and_runs_main_py(folder):
    (folder / "app.toml").unlink()
    (folder / "main.py").touch()
    source = read_folder(folder)
    assert (source.name, source.version, source.modules) == ("green-house", "", {"main": {}})
    assert source.files == {"lib/driver.py": b"y = 2\n", "main.py": b"", "pump.py": b"x = 1\n"}


def test_app_toml_names_other_modules_than_main(folder):
    (folder / "main.py").touch()
    spec(folder, "[modules.pump]\npin = 2\n")
    assert read_folder(folder).modules == {"pump": {"pin": 2}}


def test_a_folder_of_which_nothing_would_start_is_refused_unless_it_says_so(folder):
    for text in ("", 'version = "1"\n'):
        spec(folder, text)
        with pytest.raises(UsageError, match=r"Nothing of .* would start: .*\[modules.pump\]"):
            read_folder(folder)
    spec(folder, "[modules]\n")
    assert read_folder(folder).modules == {}


def test_app_toml_says_name_version_modules_and_what_is_left_out(folder):
    text = 'name = "pumps"\nversion = "1.2"\nignore = ["*.md", "lib/driver.py"]\nmodules = {}\n'
    spec(folder, text)
    (folder / "README.md").touch()
    source = read_folder(folder)
    assert (source.name, source.version, list(source.files)) == ("pumps", "1.2", ["pump.py"])


def test_a_folder_in_it_that_goes_while_it_is_read_is_said(folder, monkeypatch):
    scandir = os.scandir

    def gone(path):
        if os.path.basename(path) == "lib":
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", gone)
    with pytest.raises(UsageError, match="lib cannot be read: No such file"):
        read_folder(folder)


def test_more_than_any_board_has_room_for_is_not_read(folder):
    with (folder / "film.bin").open("wb") as file:
        file.truncate(1 << 40)  # a hole
    with pytest.raises(UsageError, match="With film.bin .* no board has room"):
        read_folder(folder)
    spec(folder, 'ignore = ["film.bin"]\n[modules.pump]\n')
    assert "pump.py" in read_folder(folder).files


def test_what_tools_leave_is_left_out(folder):
    for name in (".git/config", ".env", "__pycache__/pump.cpython-311.pyc", "tests/test_pump.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    for name in ("pump.py~", "mqboard.toml", "lib/old.pyc"):
        (folder / name).touch()
    assert list(read_folder(folder).files) == ["lib/driver.py", "pump.py"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nam = 1", "nam is not known"),
        ("name = 1", "not a str"),
        ('name = "a b"', "cannot be 'a b'"),
        ('version = "' + "1" * 33 + '"', "33 characters"),
        ("ignore = [1]", "ignore must be a list of names"),
        ("modules = 5", "not a dict"),
        ("[modules]\nx = 2020-01-01", "what JSON has not"),
        ('[modules."../x"]', r"'../x' in modules: no module can be called so"),
        ('[modules."lib/x"]', "no module can be called so"),
        ("[modules._boot]", "no module can be called so"),
        ('[modules.""]', "no module can be called so"),
        ("name =", "cannot be read"),
    ],
)
def test_what_makes_no_sense_in_app_toml_is_told(folder, text, words):
    spec(folder, text)
    with pytest.raises(UsageError, match=words):
        read_folder(folder)


def test_nothing_outside_of_the_folder_is_read(folder, tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_text("password = 1\n")
    link = folder / "innocent.py"
    for target in (secret, "../secret.py", "/etc/hostname"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with pytest.raises(UsageError, match=r"innocent.py is a link out of the folder"):
            read_folder(folder)
    link.unlink()
    (tmp_path / "more").mkdir()
    (folder / "more").symlink_to(tmp_path / "more")
    with pytest.raises(UsageError, match=r"more is a link out of the folder"):
        read_folder(folder)
    spec(folder, 'ignore = ["more"]\n[modules]')
    assert "more" not in read_folder(folder).files


def test_links_within_the_folder_are_files_or_told(folder):
    (folder / "same.py").symlink_to("lib/driver.py")
    assert read_folder(folder).files["same.py"] == b"y = 2\n"
    (folder / "round").symlink_to(".")
    with pytest.raises(UsageError, match="round is a link to a folder"):
        read_folder(folder)
    (folder / "round").unlink()
    (folder / "gone").symlink_to("nowhere")
    with pytest.raises(UsageError, match="gone is a link to nothing"):
        read_folder(folder)


def test_what_no_board_takes_is_told(folder, tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        read_folder(folder / "pump.py")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no files"):
        read_folder(tmp_path / "empty")
    os.mkfifo(folder / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        read_folder(folder)
    (folder / "pipe").unlink()
    (folder / ("x" * 170)).touch()
    with pytest.raises(UsageError, match="cannot go to a board: it has 170 bytes"):
        read_folder(folder)


def commit(folder, when=COMMIT_TIME):
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x", when=when)


def test_without_git_it_is_as_old_as_its_newest_file(folder):
    os.utime(folder / "pump.py", (1e9, 1e9))
    os.utime(folder / "lib" / "driver.py", (1.1e9, 1.1e9))
    history = read_history(read_folder(folder))
    assert (history.seq, history.committed) == (1_100_000_000, False)
    assert history.version == "20041109.113320"


def test_with_git_it_is_as_old_as_the_last_commit_that_changed_it(folder, tmp_path):
    commit(folder)
    history = read_history(read_folder(folder))
    assert (history.seq, history.committed) == (COMMIT_TIME, True)
    assert history.version == "g" + git(folder, "log", "-1", "--abbrev=8", "--format=%h")
    spec(folder, 'version = "7"\n[modules]')
    commit(folder, COMMIT_TIME + 5)
    history = read_history(read_folder(folder))
    assert (history.version, history.seq, history.committed) == ("7", COMMIT_TIME + 5, True)


def test_in_a_larger_checkout_only_its_own_folder_counts(folder, tmp_path):
    commit(tmp_path)
    (tmp_path / "other").write_text("x")
    commit(tmp_path, COMMIT_TIME + 9)
    (tmp_path / "uncommitted").write_text("x")
    history = read_history(read_folder(folder))
    assert (history.seq, history.committed) == (COMMIT_TIME, True)


@pytest.mark.parametrize("name", ["pump.py", "new.py", "app.toml", "ignored.py"])
def test_what_differs_from_the_commit_is_not_committed(folder, name):
    (folder / ".gitignore").write_text("ignored.py\n")
    commit(folder)
    (folder / name).write_text("[modules]\n")
    os.utime(folder / name, (COMMIT_TIME + 7, COMMIT_TIME + 7))
    history = read_history(read_folder(folder))
    assert (history.seq, history.committed) == (COMMIT_TIME + 7, False)
    assert history.version.endswith(".dirty")


def test_a_file_that_was_removed_is_a_difference_and_one_that_is_left_out_is_none(folder):
    spec(folder, 'ignore = ["*.md"]\n[modules]')
    (folder / "README.md").write_text("x")
    commit(folder)
    (folder / "README.md").write_text("changed")
    assert read_history(read_folder(folder)).committed
    (folder / "pump.py").unlink()
    assert not read_history(read_folder(folder)).committed


def test_a_commit_of_a_time_to_come_is_told(folder):
    commit(folder, 4_000_000_000)
    with pytest.raises(UsageError, match="is dated 2096"):
        read_history(read_folder(folder))


def test_the_manifest_lists_the_files_and_is_signed_to_the_byte(folder):
    spec(folder, 'version = "1"\n[modules.pump]\npin = "ü"\n')
    key = SigningKey(rsa_key(0), "test")
    source = read_folder(folder)
    made = Application.make(source, read_history(source), key)
    record = json.loads(made.manifest)
    assert made.manifest.startswith(b'{"format":1,"key":"' + key.public.id.encode() + b'"')
    assert [row[:2] for row in record["files"]] == [["lib/driver.py", 6], ["pump.py", 6]]
    assert (record["kind"], record["modules"]) == ("app", {"pump": {"pin": "ü"}})
    assert key.public.signed(made.manifest, made.signature)
    body = json.loads(made.body(retry_failed=True))
    assert (body["id"], body["retry_failed"]) == (made.id, True)
    assert base64.b64decode(body["signature"]) == made.signature
    unsigned = Application.make(source, read_history(source), None)
    assert (unsigned.signature, json.loads(unsigned.manifest)["key"]) == (b"", "")


def test_settings_that_no_board_takes_are_told(folder):
    spec(folder, '[modules.pump]\nfiles = [["x"]]\n')
    source = read_folder(folder)
    Application.make(source, read_history(source), None)  # it is the first key there
    spec(folder, '[modules.pump]\npin = 1\nfiles = [["x"]]\n')
    source = read_folder(folder)
    with pytest.raises(UsageError, match="list of lists called files"):
        Application.make(source, read_history(source), None)
    spec(folder, '[modules.pump]\ntext = "' + "x" * 4000 + '"\n')
    source = read_folder(folder)
    with pytest.raises(UsageError, match=r"4,... B before its list of files; 4,000 B is the most"):
        Application.make(source, read_history(source), None)


def test_python_files_are_compiled_but_for_scripts(folder):
    (folder / "main.py").write_text("import pump\n")
    (folder / "data.txt").write_text("def")
    source = compiled(read_folder(folder))
    assert sorted(source.files) == ["data.txt", "lib/driver.mpy", "main.py", "pump.mpy"]
    assert source.files["pump.mpy"].startswith(b"M\x06") and b"pump.py" in source.files["pump.mpy"]
    (folder / "pump.mpy").touch()
    with pytest.raises(UsageError, match=r"pump.py and pump.mpy: which one is meant"):
        compiled(read_folder(folder))
    (folder / "pump.mpy").unlink()
    (folder / "pump.py").write_text("def (:\n")
    with pytest.raises(UsageError, match=r"pump.py is no Python that boards take.*line 1"):
        compiled(read_folder(folder))
