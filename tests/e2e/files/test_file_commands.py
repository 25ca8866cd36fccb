"""Tests the commands for files on a real board: what they do, print, and end with."""

import hashlib
import json
import os
import re
import shlex

from mqhost.paths import ROOT


def write(place, text="text"):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def test_files_go_up_are_looked_at_and_come_back(run, tmp_path):
    write(tmp_path / "a.py", "print('a')\n")
    write(tmp_path / "b.py", "b")
    assert run("put", "a.py") == (0, "1 file copied.\n", "")
    assert run("mkdir", "-p", ":lib/deep") == (0, "", "")
    assert run("put", "a.py", "b.py", ":lib/")[0] == 0
    assert run("ls")[1].splitlines() == ["a.py", "config.json", "lib/"]
    assert run("ls", "-R", "lib")[1].splitlines() == ["a.py", "b.py", "deep/"]
    assert run("cat", ":a.py", "lib/b.py")[1] == "print('a')\nb"
    assert run("get", "a.py", "copy.py")[0] == 0
    assert (tmp_path / "copy.py").read_text() == "print('a')\n"
    (tmp_path / "into").mkdir()
    assert run("get", ":a.py", ":lib/b.py", "into")[1] == "2 files copied.\n"
    assert sorted(os.listdir(tmp_path / "into")) == ["a.py", "b.py"]


def test_listings_have_sizes_times_hashes_and_json(run, tmp_path):
    write(tmp_path / "a.py", "12345")
    run("put", "a.py", ":x y.py")
    run("mkdir", ":d")
    code, out, _ = run("ls", "-l", "--sha")
    line = next(line for line in out.splitlines() if "x y.py" in line)
    assert code == 0 and line.split()[0] == "5" and "5994471abb01112a" in line
    told = json.loads(run("ls", "--json", "--sha")[1])
    found = {each["path"]: each for each in told}
    assert found["d"]["folder"] is True and found["d"]["size"] is None
    assert found["x y.py"]["size"] == 5 and len(found["x y.py"]["sha256"]) == 64
    volumes = json.loads(run("df", "--json")[1])
    assert volumes[-1]["path"] == "/" and volumes[-1]["free"] > 0
    assert "%" in run("df")[1]
    assert "x y.py" in run("tree")[1] and "d/" in run("tree")[1]


def test_folders_go_up_and_come_back_as_mpremote_spells_it(run, tmp_path):
    write(tmp_path / "app/main.py", "m")
    write(tmp_path / "app/lib/é ü.py", "e")
    (tmp_path / "app/empty").mkdir()
    assert run("cp", "app", ":")[0] == 2
    assert run("cp", "-r", "app", ":") == (0, "2 files copied.\n", "")
    assert run("cp", "-r", ":app", ":other") == (0, "2 files copied.\n", "")
    assert run("cp", ":app/main.py", ":m.py")[0] == 0
    assert run("mv", ":m.py", ":other/")[0] == 0
    assert run("cp", "-r", ":other", ".")[0] == 0
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert [path for path in found if path.startswith("other")] == [
        "other",
        "other/empty",
        "other/lib",
        "other/lib/é ü.py",
        "other/m.py",
        "other/main.py",
    ]
    assert run("get", ":app")[0] == 1
    assert run("get", "-r", ":app", "fresh")[0] == 0
    assert (tmp_path / "fresh/lib/é ü.py").read_text() == "e"
    assert run("rm", "-r", ":app", "other") == (0, "", "")
    assert run("ls")[1] == "config.json\n"


def test_a_dot_is_what_is_in_this_folder_and_a_colon_what_is_on_the_board(run, tmp_path):
    write(tmp_path / "here/a.py", "a")
    assert run("put", "-r", ".", ":") == (0, "1 file copied.\n", "")
    assert run("ls", "-R")[1].splitlines() == ["config.json", "here/", "here/a.py"]
    assert run("cp", "-r", ":", "all") == (0, "2 files copied.\n", "")
    assert (tmp_path / "all/here/a.py").read_text() == "a"


def test_errors_are_sentences_with_the_right_exit_codes(run, shared_board, tmp_path):
    prefix = shared_board.prefix
    write(tmp_path / "large.bin", "x" * 2_000_000)
    (tmp_path / "folder").mkdir()
    write(tmp_path / "small.py")
    write(tmp_path / "folder/small.py")
    for words, code, part in (
        (("cat", ":none"), 1, ":none: there is no such file"),
        (("rm", "none"), 1, "no such file"),
        (("rm", "-f", "none"), 0, ""),
        (("rm", "-r", "/"), 1, "the root folder stays"),
        (("rmdir", ":config.json"), 1, "it is a file"),
        (("mkdir", ":a-folder"), 0, ""),
        (("rm", ":a-folder"), 1, ":a-folder is a folder: with -r it is removed, too."),
        (("rm", "-r", ":a-folder"), 0, ""),
        (("mkdir", ":a/b"), 1, "no such"),
        (("put", "large.bin"), 5, "there is no room"),
        (("put", "none.py"), 2, "none.py is not there"),
        (("put", "n" * 256), 2, "cannot be read: File name too long."),
        (("put", "folder"), 2, "with -r"),
        (("cp", "small.py", ":config.json"), 1, "mqboard config push"),
        (("cp", "a", "b"), 2, "Mark what is on the board"),
        (("cp", "a"), 2, "to where"),
        (("mv", ":config.json", ":none/"), 2, f"--prefix {prefix} mkdir -p :none\n"),
        (("cp", "small.py", ":a b/c/"), 2, f"--prefix {prefix} mkdir -p ':a b/c'\n"),
        (("put", "small.py", ":a/b.py"), 1, f"--prefix {prefix} mkdir -p :a\n"),
        (("put", "small.py", ":config.json/"), 2, ":config.json/ is a file on the board"),
        (("put", "small.py", "folder/small.py", ":"), 2, "Two things named small.py go into :"),
        (("get", ":a.py", ":b/a.py", "."), 2, "Two things named a.py go into ."),
        (("get", ":config.json", "none/"), 2, "is no folder here"),
        (("put", "large.bin", "folder", ":x"), 2, "with -r"),
        (("ls", ":none"), 1, "no such"),
    ):
        found, _, err = run(*words)
        assert (found, part in err) == (code, True), (words, found, err)
    assert run("ls")[1] == "config.json\n"


def test_scripts_are_told_what_was_copied(run, tmp_path):
    write(tmp_path / "app/a.py", "12345")
    write(tmp_path / "app/lib/b.py", "")
    hashes = [hashlib.sha256(text).hexdigest() for text in (b"12345", b"")]
    a = {"path": "/app/a.py", "size": 5, "sha256": hashes[0]}
    b = {"path": "/app/lib/b.py", "size": 0, "sha256": hashes[1]}
    put = {"a": {"local": "app/a.py", "resumed": 0}, "b": {"local": "app/lib/b.py", "resumed": 0}}
    assert told(run("put", "-r", "app", ":", "--json")) == [a | put["a"], b | put["b"]]
    assert told(run("put", "app/a.py", ":app/", "--json")) == [a | put["a"]]
    places = {"local": str(tmp_path / "copy/a.py")}, {"local": str(tmp_path / "copy/lib/b.py")}
    got = told(run("get", "-r", ":app", str(tmp_path / "copy"), "--json"))
    assert got == [a | places[0] | {"resumed": 0}, b | places[1] | {"resumed": 0}]
    copied = told(run("cp", "-r", ":app", ":there", "--json"))
    assert copied == [
        a | {"path": "/there/a.py", "from": "/app/a.py"},
        b | {"path": "/there/lib/b.py", "from": "/app/lib/b.py"},
    ]
    assert told(run("cp", ":app/a.py", ":", "--json")) == [
        a | {"path": "/a.py", "from": "/app/a.py"}
    ]


def told(ended):
    code, out, err = ended
    assert (code, err) == (0, "")
    return json.loads(out)


# What the examples of docs/files.md find on the board, and is not there on a fresh one.
FOUND = {
    "get boot.log": ("put", "a.py", ":boot.log"),
    "get -r :data backup": ("put", "-r", "app", ":data"),
    "mv :old.py :new.py": ("touch", ":old.py"),
    "rm -r :lib/unused": ("mkdir", ":lib/unused"),
    "rmdir :lib/empty": ("mkdir", ":lib/empty"),
}


def test_the_examples_of_the_page_work_one_after_the_other(run, tmp_path, monkeypatch):
    for name in ("main.py", "a.py", "b.py", "app/c.py", "lib/d.py"):
        write(tmp_path / name, "x = 1\n")
    monkeypatch.setenv("VISUAL", "true")
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/files.md").read_text(), re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines() if " install " not in line]
    assert len(lines) > 15
    for line in lines:
        words = shlex.split(line, comments=True)[3:]
        if found := FOUND.get(" ".join(words)):
            assert run(*found)[0] == 0
        code, _, err = run(*words)
        assert (code, err) == (0, ""), line


def test_touch_makes_and_rmdir_removes(run):
    assert run("touch", ":flag", ":b")[0] == 0
    assert run("mkdir", ":d")[0] == 0
    assert run("rmdir", ":d")[0] == 0
    assert run("ls")[1].splitlines() == ["b", "config.json", "flag"]
