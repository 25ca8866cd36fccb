"""Tests sync and edit on a real board: what goes over, what stays, what is removed."""

import json
import shlex
import sys

import pytest

from mqhost.manage import configuration
from mqhost.remote.board_files import BoardFiles


@pytest.fixture
def app(tmp_path):
    """Make a folder with a small application."""
    folder = tmp_path / "app"
    write(folder / "main.py", "print('main')")
    write(folder / "lib/a.py", "a = 1")
    write(folder / "lib/b.py", "b = 2")
    write(folder / "__pycache__/a.pyc", "x")
    write(folder / ".git/HEAD", "x")
    (folder / "empty").mkdir()
    return folder


def write(place, text):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def done(answer):
    code, out, err = answer
    assert code == 0, err
    return json.loads(out)


def on_board(run, path=":"):
    return run("ls", "-R", path)[1].split()


def test_only_what_differs_goes_over(run, app):
    first = done(run("sync", app, ":app", "--json"))
    put = ["/app/lib/a.py", "/app/lib/b.py", "/app/main.py"]
    assert sorted(first["put"]) == put and not first["removed"]
    assert on_board(run, ":app") == ["empty/", "lib/", "lib/a.py", "lib/b.py", "main.py"]
    assert done(run("sync", app, ":app", "--json")) == {"put": [], "removed": [], "unchanged": 3}
    write(app / "lib/a.py", "a = 2")
    code, out, _ = run("sync", app, ":app", "--dry-run")
    assert code == 0 and "Nothing was done" in out and "put    /app/lib/a.py" in out
    assert run("cat", ":app/lib/a.py")[1] == "a = 1"
    code, out, _ = run("sync", app, ":app")
    assert "put    /app/lib/a.py" in out and "1 put, 0 removed, 2 unchanged." in out
    assert run("cat", ":app/lib/a.py")[1] == "a = 2"


def test_what_is_only_on_the_board_goes_with_delete_but_not_what_it_needs(run, app):
    run("mkdir", "-p", ":old/deep", ":apps", ":crash")
    for path in (":old/deep/x", ":apps/1.json", ":crash/1", ":.hidden", ":stay.py"):
        run("touch", path)
    assert run("sync", app)[0] == 0
    assert {"old/deep/x", "stay.py"} <= set(on_board(run))
    removed = done(run("sync", app, "--delete", "--json"))["removed"]
    assert removed == ["/old/deep/x", "/old/deep", "/old", "/stay.py"]
    assert {"config.json", "apps/1.json", "crash/1", ".hidden"} <= set(on_board(run))


def test_the_certificates_that_the_configuration_names_stay(run, app, monkeypatch):
    run("touch", ":ca.pem", ":other.pem")
    broker = {"host": "h", "ca": "/ca.pem", "fallback": {"host": "i", "ca": 5}}
    told = type("Told", (), {"record": {"broker": broker}})
    monkeypatch.setattr(configuration, "fetch", lambda session: told)
    assert run("sync", app, "--delete")[0] == 0
    assert "ca.pem" in on_board(run) and "other.pem" not in on_board(run)


def test_a_file_in_the_place_of_a_folder_and_the_reverse(run, app):
    run("mkdir", "-p", ":app/main.py/deep")
    run("touch", ":app/lib", ":app/main.py/deep/x")
    code, _, err = run("sync", app, ":app")
    assert code == 2 and "With --delete it is removed" in err
    assert on_board(run, ":app") == ["lib", "main.py/", "main.py/deep/", "main.py/deep/x"]
    assert run("sync", app, ":app", "--delete")[0] == 0
    assert run("cat", ":app/main.py")[1] == "print('main')"
    write(app / "crash", "a file")
    run("mkdir", ":crash")
    code, _, err = run("sync", app, "--delete")
    assert code == 2 and "The board needs it" in err and "crash/" in on_board(run)


def test_a_folder_is_not_made_like_a_file(run, app):
    run("touch", ":app")
    code, _, err = run("sync", app, "app")
    assert code == 2 and "a file on the board, not a folder" in err
    code, _, err = run("sync", app / "main.py", ":")
    assert code == 2


def test_files_are_compiled_on_the_way_and_no_source_hides_them(run, app):
    assert run("sync", app, ":app")[0] == 0
    told = done(run("sync", app, ":app", "--mpy", "--json"))
    assert sorted(told["put"]) == ["/app/lib/a.mpy", "/app/lib/b.mpy"]
    assert sorted(told["removed"]) == ["/app/lib/a.py", "/app/lib/b.py"]
    assert on_board(run, ":app") == ["empty/", "lib/", "lib/a.mpy", "lib/b.mpy", "main.py"]
    code, out, _ = run("eval", "__import__('app.lib.b').lib.b.b")
    assert (code, out) == (0, "2\n")
    assert done(run("sync", app, ":app", "--mpy", "--json"))["unchanged"] == 3
    write(app / "lib/a.py", "a = (")
    code, _, err = run("sync", app, ":app", "--mpy")
    assert code == 2 and "lib/a.py is no Python" in err


def test_an_empty_folder_and_a_deep_one(run, app, tmp_path):
    (tmp_path / "none").mkdir()
    assert run("sync", tmp_path / "none", ":a/b/c")[0] == 0
    assert done(run("sync", app, ":a/b/c", "--json"))["unchanged"] == 0
    removed = done(run("sync", tmp_path / "none", ":a/b/c", "--delete", "--json"))["removed"]
    assert len(removed) == 5 and on_board(run, ":a/b/c") == []


def test_what_is_the_same_takes_one_question(run, app):
    run("sync", app, ":app")
    code, out, err = run("--verbose", "sync", app, ":app", "--json")
    assert json.loads(out)["unchanged"] == 3
    asked = [line for line in err.splitlines() if "/mqb/cmd/" in line and " > " in line]
    assert len(asked) == 1 and "/mqb/cmd/ls/" in asked[0]


def test_a_file_is_no_folder_whatever_is_in_it(run, tmp_path):
    write(tmp_path / "a.py", "a")
    write(tmp_path / "app/a.py", "a")
    run("put", "a.py")
    code, _, err = run("sync", "app", ":a.py")
    assert code == 2 and ":/a.py is a file on the board, not a folder." in err
    run("sync", "app", ":folder/a.py")
    assert done(run("sync", "app", ":folder/a.py", "--json"))["unchanged"] == 1


@pytest.fixture
def editor(monkeypatch, tmp_path):
    """Give a function that says what the editor does with the file: a line of Python on `text`."""

    def use(line, code=0):
        script = tmp_path / "editor.py"
        script.write_text(
            "import sys, pathlib\n"
            "place = pathlib.Path(sys.argv[1])\n"
            "text = place.read_text()\n"
            f"{line}\n"
            "place.write_text(text)\n"
            f"sys.exit({code})\n"
        )
        monkeypatch.setenv("VISUAL", f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}")

    return use


def test_a_file_is_edited_and_put_back(run, tmp_path, editor):
    write(tmp_path / "a.py", "a = 1")
    run("put", "a.py")
    editor("pass")
    assert run("edit", ":a.py") == (0, ":a.py was not changed.\n", "")
    editor("text += '\\nb = 2'; assert place.name == 'a.py'")
    assert run("edit", ":a.py") == (0, ":a.py is put, 11 B.\n", "")
    assert run("cat", ":a.py")[1] == "a = 1\nb = 2"
    editor("pass")
    assert run("edit", ":new.txt") == (0, ":new.txt was not made: it is empty.\n", "")
    assert "new.txt" not in run("ls")[1]
    editor("text = 'new'")
    assert run("edit", ":new.txt")[0] == 0
    assert run("cat", ":new.txt")[1] == "new"


def test_what_was_written_is_not_lost(run, tmp_path, editor, shared_board):
    write(tmp_path / "a.py", "a = 1")
    run("put", "a.py")
    settings = shared_board.settings()
    editor(
        "import sys\n"
        "from mqhost.cli.main import main\n"
        f"main(['--server', {settings.server!r}, '--port', '{settings.port}', '--no-tls',"
        f" '--prefix', {shared_board.prefix!r}, 'rm', ':a.py'])\n"
        "text = 'mine'"
    )
    code, _, err = run("edit", ":a.py")
    assert code == 5 and "changed on the board meanwhile" in err
    assert kept(err) == "mine"
    editor("text = 'half'", code=1)
    code, _, err = run("edit", ":b.py")
    assert code == 1 and kept(err) == "half"
    editor("text = 'x'")
    code, _, err = run("edit", ":nowhere/b.py")
    assert code == 1 and kept(err) == "x"


def test_an_editor_that_does_not_start_leaves_nothing_and_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setenv("VISUAL", "no-such-editor")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = run("edit", ":new.txt")
    assert code == 1 and "no-such-editor" in err and "VISUAL, or else EDITOR, names" in err
    assert "as you left it" not in err and not list(tmp_path.glob("mqboard-*"))


def kept(err):
    from pathlib import Path

    line = next(line for line in err.splitlines() if "as you left it is " in line)
    place = Path(line.partition("as you left it is ")[2].rstrip("."))
    text = place.read_text()
    place.unlink()
    place.parent.rmdir()
    return text


def test_the_root_folder_is_no_file_to_edit(run, shared_board):
    code, _, err = run("edit", ":/")
    assert code == 2 and "cannot be a file's name" in err
    with shared_board.session() as session:
        BoardFiles(session).mkdir(["/d"])
    assert run("edit", ":d")[0] == 1
