"""Tests building again: of a commit of a repository whose build is one that takes no time."""

import hashlib
import json
import os
from dataclasses import replace

import pytest
from commandline import here
from gitrepo import git
from proofs import KEY, bill, provenance_of
from rsakeys import private_pem, rsa_key

from mqhost.attest.dsse import Envelope
from mqhost.attest.statement import Dependency
from mqhost.build.evidence import rebuild as rebuilding
from mqhost.build.evidence.rebuild import rebuild
from mqhost.build.revision import Revision
from mqhost.errors import BuildError, ProofError, ToolError, UsageError
from mqhost.signing.keys import PublicKey

TASKS = '''
import hashlib, json, os
from pathlib import Path
from invoke import task

@task(iterable=["sdkconfig"])
def build(_, board, version, builder, micropython, sdkconfig):
    """Write what a build would, out of the one file that there is."""
    source = Path("main.py").read_bytes()
    if b"broken" in source:
        raise SystemExit("main.py is broken")
    folder = Path("build") / board
    folder.mkdir(parents=True)
    (folder / "app.bin").write_bytes(b"app " + source)
    (folder / "flash.bin").write_bytes(b"flash " + source)
    modules = [{"type": "file", "name": "main.py",
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(source).hexdigest()}]}]
    root = {"type": "firmware", "name": "x"}
    record = {"bomFormat": "CycloneDX", "metadata": {"component": root}, "components": modules}
    (folder / "sbom.cdx.json").write_text(json.dumps(record))
    options = {"board": board, "version": version, "builder": builder, "micropython": micropython,
               "sdkconfig": [Path(file).read_text() for file in sdkconfig]}
    names = ("MQBOARD_PUBLIC_KEYS", "MQBOARD_SIGNING_KEY", "MQBOARD_CACHE", "PYTHONPATH")
    told = {"options": options, "environment": {name: os.environ.get(name) for name in names}}
    Path(os.environ["TOLD"]).write_text(json.dumps(told))
'''


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Make a repository with a commit, and a change in its work tree that is in none."""
    monkeypatch.setenv("TOLD", str(tmp_path / "told.json"))
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MQBOARD_SIGNING_KEY", private_pem(rsa_key(0)))
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet")
    (root / "main.py").write_text("x = 1\n")
    (root / "tasks.py").write_text(TASKS)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    (root / "main.py").write_text("x = 2  # not committed\n")
    return root


def provenance(root, **facts):
    head = git(root, "rev-parse", "HEAD")
    files = {"app.bin": b"app x = 1\n", "flash.bin": b"flash x = 1\n", "sbom.cdx.json": b""}
    return provenance_of(files, **{"commit": head} | facts)


def state(root):
    """Return all that git says of a repository, and what is in its work tree."""
    told = [git(root, *words) for words in (("status", "--porcelain"), ("worktree", "list"))]
    told += [git(root, "for-each-ref"), git(root, "count-objects", "-v")]
    return told, sorted(path.name for path in root.iterdir()), (root / "main.py").read_text()


def test_the_commit_is_built_again_and_the_checkout_stays_as_it_is(repository, tmp_path):
    before = state(repository)
    built = rebuild(provenance(repository), root=repository)
    assert (built.app, built.flash) == (b"app x = 1\n", b"flash x = 1\n")
    assert state(repository) == before
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["options"] == {
        "board": "esp32",
        "version": "1.0",
        "builder": "native",
        "micropython": "v1.28.0",
        "sdkconfig": ["CONFIG_X=y\n"],
    }
    environment = told["environment"]
    # The keys that are frozen are those of the image; nothing is signed there.
    assert environment["MQBOARD_PUBLIC_KEYS"] == KEY.public.pem()
    assert environment["MQBOARD_SIGNING_KEY"] is None
    assert environment["MQBOARD_CACHE"] != str(tmp_path / "cache")
    assert not os.path.exists(environment["MQBOARD_CACHE"])  # all of it is gone again


def test_a_commit_that_is_only_where_it_was_cloned_from_is_fetched(repository, tmp_path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    git(repository, "commit", "--quiet", "-am", "newer")
    before = git(clone, "count-objects", "-v")
    assert rebuild(provenance(repository), root=clone).app.endswith(b"not committed\n")
    assert git(clone, "count-objects", "-v") == before
    with pytest.raises(ProofError, match="There is no commit ffffffffffff"):
        rebuild(provenance(repository, commit="f" * 40), root=clone)


@pytest.mark.parametrize(
    ("facts", "error", "why"),
    [
        ({"changed": True}, ProofError, "changed files"),
        ({"commit": "", "changed": True}, ProofError, "without a commit"),
        ({"micropython": "checkout"}, UsageError, "--micropython DIR"),
    ],
)
def test_what_cannot_be_built_again_says_why(repository, facts, error, why):
    with pytest.raises(error, match=why):
        rebuild(provenance(repository, **facts), root=repository)


def test_a_wheel_alone_cannot_build_again(repository, monkeypatch):
    monkeypatch.setattr(rebuilding, "CHECKOUT", None)
    with pytest.raises(UsageError, match="a checkout"):
        rebuild(provenance(repository))


def test_a_project_is_built_again_where_it_is_by_the_same_mqboard(repository, monkeypatch):
    """In a folder of its repository; what it is built with is what runs here."""
    (repository / "farm").mkdir()
    (repository / "farm" / "mqboard.toml").write_text("[project]\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "a project")
    monkeypatch.setattr(rebuilding, "PROJECT", repository / "farm")
    ours = Revision("1.2", "0123abcd", 5)
    monkeypatch.setattr(rebuilding, "read_revision", lambda: ours)
    monkeypatch.setattr(rebuilding, "full_commit", lambda revision: revision.commit)
    calls = []

    def built(argv, folder, environment):
        calls.append((argv, folder))
        assert (folder / "mqboard.toml").is_file() and folder != repository / "farm"
        (folder / "build" / "esp32").mkdir(parents=True)
        for name in ("app.bin", "flash.bin", "sbom.cdx.json"):
            (folder / "build" / "esp32" / name).write_text(name)

    monkeypatch.setattr(rebuilding, "run_build", built)
    with_ours = Dependency("MQBoard", "git+x", {"gitCommit": "0123abcd"}, {"version": "1.2"})
    made = provenance(repository, project=True, dependencies=(with_ours,))
    assert rebuild(made).app == b"app.bin"
    [(argv, folder)] = calls
    assert argv[1:4] == ["-m", "mqhost.cli", "build"] and folder.name == "farm"
    for other in (replace(ours, commit="0123abcd-dirty"), replace(ours, commit="ffff0000")):
        monkeypatch.setattr(rebuilding, "read_revision", lambda other=other: other)
        with pytest.raises(ProofError, match=r"MQBoard 1\.2 \(commit 0123abcd\); this is"):
            rebuild(made)
    monkeypatch.setattr(rebuilding, "read_revision", lambda: ours)
    for nowhere in (None, repository.parent):
        monkeypatch.setattr(rebuilding, "PROJECT", nowhere)
        with pytest.raises(UsageError, match="in none that is a git checkout"):
            rebuild(made)


def test_a_missing_git_is_told_and_no_project_called_none(repository, tmp_path, monkeypatch):
    made = provenance(repository, project=True)
    (repository / "farm").mkdir()
    monkeypatch.setattr(rebuilding, "PROJECT", repository / "farm")
    monkeypatch.setenv("PATH", str(tmp_path))
    for root in (None, repository):
        with pytest.raises(ToolError, match="^git is missing, .*: apt-get install git$"):
            rebuild(made, root=root)


def test_a_build_that_fails_shows_how_it_ended(repository):
    (repository / "main.py").write_text("broken")
    git(repository, "commit", "--quiet", "-am", "broken")
    with pytest.raises(BuildError, match=r"(?s)Building again failed.*main.py is broken"):
        rebuild(provenance(repository), root=repository)


def test_verify_tells_what_is_another(repository, tmp_path, capsys, monkeypatch):
    def real(*words, **options):
        return rebuild(*words, **options | {"root": repository})

    monkeypatch.setattr(rebuilding, "rebuild", real)
    monkeypatch.delenv("MQBOARD_SIGNING_KEY")
    (tmp_path / "key.pem").write_text(PublicKey(KEY.public.modulus).pem())
    folder = tmp_path / "out"
    folder.mkdir()
    for source, code in ((b"x = 1\n", 0), (b"x = 3\n", 5)):
        files = {"app.bin": b"app " + source, "flash.bin": b"flash " + source}
        digest = hashlib.sha256(source).hexdigest()
        app = hashlib.sha256(files["app.bin"]).hexdigest()
        files["sbom.cdx.json"] = bill(app, [("main.py", digest)])
        head = git(repository, "rev-parse", "HEAD")
        statement = provenance_of(files, commit=head).to_bytes()
        files["provenance.json"] = Envelope(statement).signed(KEY).to_bytes()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        words = ["verify", str(folder), "--key", str(tmp_path / "key.pem")]
        assert here(capsys, ["", "", "", *words]).returncode == 0
        ended = here(capsys, ["", "", "", *words, "--rebuild"])
        assert ended.returncode == code, ended.stderr
        if code:
            assert "main.py has other source" in ended.stderr
        else:
            assert "the same, byte for byte" in ended.stdout
