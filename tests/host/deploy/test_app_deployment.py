"""Tests the tool's half of a deployment against a board that plays by the protocol, or does not."""

import hashlib
import json

import pytest
from commandline import command_line, here
from fakeboard import FakeBoard

from mqhost.deploy import deployment
from mqhost.remote.board_files import BoardFiles
from mqwire import codes


class AppBoard(FakeBoard):
    """A board that takes applications. `before` answers are given first, then those of a board:
    missing files, and when they are there it switches; `ends` is what its status then says.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.facts |= {"signing": "none", "id": "aabbccddeeff"}
        self.before = []  # answers
        self.asked = []  # options of offers
        self.has = {"lib/driver.py"}
        self.manifest = None
        self.ends = "confirmed"
        self.trace = ""
        self.kept = {"now": None, "before": None, "state": "none", "seq": 0, "failed": None}

    def _do_deploy(self, ident, body):
        self.asked.append(json.loads(body))
        mine = {"id": self.asked[-1]["id"]}
        if not self.before and self.manifest is None:
            told = mine | {"manifest": "/elsewhere.json"}
            self.reply(ident, json.dumps(told).encode())
            return
        record = json.loads(self.manifest or b'{"files": [], "name": "", "version": ""}')
        mine |= {word: record[word] for word in ("name", "version")}
        missing = [
            number for number, (path, *_) in enumerate(record["files"]) if path not in self.has
        ]
        if self.before:
            answer = self.before.pop(0)
            if answer is not None:
                self.reply(ident, json.dumps(answer).encode())
        elif missing or self.asked[-1].get("dry_run"):
            told = {"id": mine["id"], "missing": missing, "folder": "/elsewhere"}
            self.reply(ident, json.dumps(told).encode())
        else:
            told = {"id": mine["id"], "window_s": 0.1, "boot_id": self.boot_id}
            self.reply(ident, json.dumps(told).encode())
            self.switch(mine)

    def switch(self, mine):
        """Restart, and try the application: what comes of it is what `ends` says."""
        old = self.facts.get("app")
        self.power_off()
        self.facts["app"] = mine | {"state": "trial"}
        self.power_on()
        assert self._up.wait(10)
        if self.ends == "confirmed":
            self.facts["app"] = mine | {"state": "confirmed"}
        elif self.ends:
            self.power_off()
            failed = {key: mine[key] for key in ("id", "name", "version")} | self.ends
            self.facts["app"] = (old or {"state": "none"}) | {"failed": failed}
            self.power_on()
            assert self._up.wait(10)
        self.announce()

    def _do_apps(self, ident, body):
        if json.loads(body).get("rollback"):
            now = self.kept["before"] or {}
            told = {"refused": "there is none", "code": 16}
            if now:
                told = now | {"window_s": 0.1, "boot_id": self.boot_id}
            self.reply(ident, json.dumps(told).encode())
            if now:
                self.switch(now)
            return
        self.reply(ident, json.dumps(self.kept | {"trace": self.trace}).encode())


@pytest.fixture
def board(broker, prefix):
    with AppBoard(broker.port, prefix) as running:
        yield running


@pytest.fixture
def sent(board, monkeypatch):
    """Collect what is put on the board: bytes by path."""
    found = {}

    def write_all(self, files, *, parents=False, total=0, progress=None):
        for path, read in files:
            found[path] = read()
            board.has.add(path.split("/", 3)[3])

    def write(self, path, data, *, parents=False):
        assert path == f"/apps/{hashlib.sha256(data).hexdigest()[:16]}.json"
        board.manifest = data

    monkeypatch.setattr(BoardFiles, "write_all", write_all)
    monkeypatch.setattr(BoardFiles, "write", write)
    monkeypatch.setattr(deployment, "POLL", 0.01)
    return found


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pumps"
    (made / "lib").mkdir(parents=True)
    (made / "pump.py").write_text("x = 1\n")
    (made / "lib" / "driver.py").write_text("y = 2\n")
    (made / "app.toml").write_text('version = "2"\n[modules.pump]\n')
    return made


@pytest.fixture
def deploy(broker, prefix, capsys):
    def run(*arguments, **environment):
        line = command_line(broker.port, prefix, "deploy", *map(str, arguments))
        done = here(capsys, line, **environment)
        return done.returncode, done.stdout, done.stderr

    return run


def test_only_what_is_missing_is_sent_and_the_end_is_waited_for(board, sent, folder, deploy):
    board.facts["app"] = {"id": "0" * 16, "name": "pumps", "version": "1", "state": "confirmed"}
    board.announce()
    code, out, err = deploy(folder)
    assert (code, err) == (0, ""), err
    ident = board.facts["app"]["id"]
    assert sent == {f"/apps/{ident}/pump.py": b"x = 1\n"}  # wherever the board wanted it
    assert "runs pumps 2, confirmed" in out and "sent: 1 file, 6 B. It ran pumps 1." in out
    record = json.loads(deploy(folder, "--json", "--retry-failed")[1])
    assert (record["id"], record["changed"]) == (ident, True)
    assert board.asked[-1]["retry_failed"] is True


def test_a_folder_that_starts_nothing_is_refused_before_the_board_is_asked(
    board, sent, folder, deploy
):
    (folder / "app.toml").unlink()
    code, _, err = deploy(folder)
    assert code == 2 and f"Nothing of {folder} would start" in err
    assert board.asked == []


def test_a_fleet_gets_it_by_the_same_way(board, sent, folder, capsys):
    words = ("fleet", "deploy", str(folder), board.prefix, "--yes")
    ended = here(capsys, command_line(board.port, None, *words))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "1 board will get pumps 2." in ended.stdout
    assert f"[1/1] {board.prefix} runs pumps 2, confirmed, after" in ended.stdout
    record = json.loads(here(capsys, command_line(board.port, None, *words, "--json")).stdout)
    assert record[board.prefix]["id"] == board.facts["app"]["id"]
    board.ends = {"code": 51, "reason": "it was not healthy"}
    (folder / "pump.py").write_text("x = 2\n")
    ended = here(capsys, command_line(board.port, None, *words))
    assert ended.returncode == 1 and "pumps 2 failed: it was not healthy." in ended.stdout
    assert ended.stderr == "1 board: 0 ok, 1 failed, 0 offline.\n"


def test_what_runs_already_is_said_to(board, sent, folder, deploy):
    board.before = [{"id": "x", "running": True}]
    assert deploy(folder)[1].splitlines()[-1] == f"{board.prefix} runs pumps 2 already."


@pytest.mark.parametrize("state", ["busy", "not settled", "silent"])
def test_a_board_that_is_not_ready_is_waited_for(board, sent, folder, deploy, state):
    answers = {
        "busy": {"refused": "another one", "code": codes.BUSY},
        "not settled": {"refused": "not yet", "code": codes.UNCONFIRMED},
        "silent": None,
    }
    board.before = [answers[state]]
    code, _, err = deploy(folder)
    assert (code, err) == (0, ""), err
    assert len(board.asked) == 4


def test_one_that_failed_is_told_with_its_traceback(board, sent, folder, deploy):
    board.facts["app"] = {"id": "0" * 16, "name": "pumps", "version": "1", "state": "confirmed"}
    board.ends = {"code": codes.UNHEALTHY, "reason": "module pump died 3 times: OSError"}
    board.trace = 'Traceback (most recent call last):\n  File "pump.py"\nOSError: 5\x1b[2J\n'
    code, _, err = deploy(folder)
    assert code == 1
    first, rest = err.split("\n", 1)
    assert first == (
        f"{board.prefix} is back with pumps 1. pumps 2 failed: module pump died 3 times: OSError."
    )
    assert 'File "pump.py"' in rest and "\x1b" not in err


def test_the_first_one_that_failed_leaves_none(board, sent, folder, deploy):
    board.ends = {"code": codes.NO_BROKER, "reason": "never"}
    code, _, err = deploy(folder)
    assert code == 1 and err == "No application runs. pumps 2 failed: never.\n"


def test_a_board_that_does_not_come_back_is_told(board, sent, folder, deploy, monkeypatch):
    monkeypatch.setattr("mqhost.deploy.outcome.RESTARTS", 0.3)
    board.ends = ""
    code, _, err = deploy(folder)
    assert code == 4 and "goes back to the one before by itself" in err


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (codes.TOO_OLD, "update.allow_downgrade"),
        (codes.FAILED_BEFORE, "--retry-failed"),
        (codes.TOO_LARGE, "remove files"),
        (codes.BAD_SIGNATURE, "MQBOARD_SIGNING_KEY"),
        (codes.FLASH_ERROR, "because."),
    ],
)
def test_why_it_is_refused_and_what_to_do_is_told(board, sent, folder, deploy, code, words):
    board.before = [{"refused": "because", "code": code}]
    status, _, err = deploy(folder)
    assert status == 5 and f"{board.prefix} stays as it is: because." in err and words in err


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "x", "missing": [99]},
        {"id": "x", "missing": "all"},
        {"id": "x", "missing": [-1]},
        {"id": "x"},
        [],
    ],
)
def test_a_board_that_talks_nonsense_is_told(board, sent, folder, deploy, answer):
    board.before = [answer] * 9
    code, _, err = deploy(folder)
    assert code == 1 and "answer to deploy" in err
    assert sent == {}


def test_a_board_that_never_has_enough_is_told(board, sent, folder, deploy):
    board.before = [{"id": "x", "missing": [1]}] * 9
    code, _, err = deploy(folder)
    assert code == 1 and "asks for the same files again and again" in err


def test_a_key_that_the_board_does_not_know_is_told_before_anything_is_sent(
    board, sent, folder, deploy
):
    board.facts |= {"signing": "required", "keys": ["00112233"]}
    from rsakeys import private_pem, rsa_key

    code, _, err = deploy(folder, MQBOARD_SIGNING_KEY=private_pem(rsa_key(0)))
    assert code == 5 and "takes only what is signed with 00112233" in err
    assert board.asked == []


def test_dry_run_says_what_would_be_sent(board, sent, folder, deploy):
    code, out, err = deploy(folder, "--dry-run")
    assert (code, err, sent) == (0, "", {})
    assert out.splitlines() == [
        "is there         6 B  lib/driver.py",
        "send             6 B  pump.py",
        "pumps 2: 1 of 2 files would be sent, 6 B. Nothing was changed.",
    ]
    record = json.loads(deploy(folder, "--dry-run", "--json")[1])
    assert record["missing"] == ["pump.py"]


def test_the_list_has_what_runs_what_was_before_and_what_failed(board, deploy):
    assert deploy("--list") == (0, f"{board.prefix} has no application.\n", "")
    entry = {"id": "0" * 16, "name": "pumps", "version": "2", "seq": 5, "committed": True}
    failed = {"id": "2" * 16, "name": "pumps", "version": "3", "code": 51, "reason": "it died"}
    board.kept |= {"now": entry, "before": entry | {"version": "1"}, "failed": failed}
    board.kept["state"] = "confirmed"
    rows = [line.split() for line in deploy("--list")[1].splitlines()[2:]]
    assert [row[:3] for row in rows] == [
        ["pumps", "2", "confirmed"],
        ["pumps", "1", "previous"],
        ["pumps", "3", "failed"],
    ]
    assert json.loads(deploy("--list", "--json")[1])["now"] == entry


def test_back_to_the_one_before(board, deploy):
    code, _, err = deploy("--rollback")
    assert code == 5 and "stays as it is: there is none. Which ones it has: mqboard " in err
    board.kept["before"] = {"id": "1" * 16, "name": "pumps", "version": "1"}
    code, out, err = deploy("--rollback")
    assert (code, err) == (0, "") and f"{board.prefix} is back at pumps 1, confirmed" in out


@pytest.mark.parametrize(
    "arguments",
    [[], ["x", "--list"], ["--list", "--rollback"], ["--list", "--mpy"], ["x", "--force"]],
)
def test_what_does_not_go_together_is_told(deploy, arguments):
    assert deploy(*arguments)[0] == 2


def test_info_says_which_one_runs(board, broker, prefix, capsys):
    board.facts["app"] = {"id": "0", "name": "pumps", "version": "2", "state": "confirmed"}
    out = here(capsys, command_line(broker.port, prefix, "info")).stdout
    assert "application   pumps 2 (confirmed)\n" in out
