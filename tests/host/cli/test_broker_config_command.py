"""Tests `mqboard broker-config`: from nothing to a folder, what it says, and its exit codes."""

import json
import os

import pytest
from commandline import command_line, here


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Give run(*arguments) -> CompletedProcess, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: here(capsys, command_line(1, "", "broker-config", *arguments))


def test_the_first_run_makes_a_file_to_go_on_with(run, tmp_path):
    found = run("--out", "mq", "--host", "broker.lan", "--host", "10.0.0.1")
    assert found.returncode == 0, found.stderr
    for words in ("New: admin", "mq/ca/ca.key", "no network"):
        assert words in found.stdout
    assert "bring mq/mosquitto to the broker, and restart mosquitto" in found.stdout
    text = (tmp_path / "mq/boards.toml").read_text()
    assert 'host = "broker.lan"\nnames = ["10.0.0.1"]' in text
    (tmp_path / "mq/boards.toml").write_text(text.replace("# [[", "[[").replace("# pr", "pr"))
    found = run("--out", "mq")
    assert found.returncode == 0 and "New: farm-pump" in found.stdout
    assert "reload (SIGHUP)" in found.stdout and "ca.key" not in found.stdout
    found = run("--out", "mq")
    assert found.stdout == "mq has all that 1 board and 1 operator need.\n"


def test_without_a_host_it_says_what_is_missing(run, tmp_path):
    found = run("--out", "mq")
    assert found.returncode == 2 and "--host broker.lan" in found.stderr
    assert not (tmp_path / "mq").exists()


def test_a_host_that_is_none_leaves_no_file_behind(run, tmp_path):
    for host in ("a b", "127.0.0.1"):
        found = run("--out", "mq", "--host", host)
        assert found.returncode == 2 and host in found.stderr
    assert not (tmp_path / "mq").exists()


@pytest.mark.parametrize("option", ["--check", "--dry-run"])
def test_what_only_looks_makes_nothing(run, tmp_path, option):
    found = run("--out", "mq", "--host", "b", option)
    assert found.returncode == 2 and "There is no mq/boards.toml yet" in found.stderr
    (tmp_path / "users.toml").write_text('[broker]\nhost = "b"\n')
    found = run("--out", "mq", "--boards", "users.toml", option)
    assert found.returncode == 2 and "There is no folder mq" in found.stderr
    assert not (tmp_path / "mq").exists()


def test_the_file_that_was_used_is_not_forgotten(run, tmp_path):
    (tmp_path / "users.toml").write_text('[broker]\nhost = "b"\n[[boards]]\nprefix = "p"\n')
    assert run("--out", "mq", "--boards", "users.toml").returncode == 0
    found = run("--out", "mq", "--host", "b")
    assert found.returncode == 2 and "was made from users.toml" in found.stderr


def test_a_board_that_is_gone_is_shut_out_when_told_to(run, tmp_path):
    file = tmp_path / "users.toml"
    file.write_text('[broker]\nhost = "b"\n[[boards]]\nprefix = "p"\n')
    run("--out", "mq", "--boards", "users.toml")
    file.write_text('[broker]\nhost = "b"\n')
    found = run("--out", "mq", "--boards", "users.toml")
    assert found.returncode == 2 and "--remove" in found.stderr
    found = run("--out", "mq", "--boards", "users.toml", "--dry-run")
    assert found.returncode == 0 and "Shut out: p" in found.stdout and "would be" in found.stdout
    found = run("--out", "mq", "--boards", "users.toml", "--remove")
    assert found.returncode == 0 and "Shut out: p" in found.stdout


def test_scripts_get_json(run):
    found = run("--out", "mq", "--host", "b", "--json")
    record = json.loads(found.stdout)
    assert record["added"] == ["admin"] and record["made_ca"] and record["broker_changed"]
    assert json.loads(run("--out", "mq", "--check", "--json").stdout)["wrong"] == []


def test_check_says_that_all_is_well_or_what_is_not(run, tmp_path):
    run("--out", "mq", "--host", "b")
    found = run("--out", "mq", "--check")
    assert found.returncode == 0 and found.stdout.endswith("mq is in order.\n")
    os.unlink(tmp_path / "mq/mosquitto/revoked.pem")
    found = run("--out", "mq", "--check")
    assert found.returncode == 1 and "revoked.pem" in found.stderr
    assert not (tmp_path / "mq/mosquitto/revoked.pem").exists()


def test_a_folder_that_cannot_be_written_is_told(run, tmp_path):
    (tmp_path / "mq").write_text("")
    found = run("--out", "mq/inside", "--host", "b")
    assert found.returncode == 1 and "cannot be written: Not a directory" in found.stderr


def test_no_secret_is_shown(run, tmp_path):
    (tmp_path / "users.toml").write_text(
        '[broker]\nhost = "b"\n[[boards]]\nprefix = "p"\nlogin = "password"\n'
    )
    shown = ""
    for more in ([], ["--check"], ["--json", "--renew", "p"], ["--dry-run"]):
        found = run("--out", "mq", "--boards", "users.toml", *more)
        shown += found.stdout + found.stderr
    config = json.loads((tmp_path / "mq/boards/p/config.json").read_text())
    assert config["broker"]["password"] not in shown and "PRIVATE" not in shown


def test_a_passphrase_comes_from_a_variable_or_is_asked_for(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    renew = command_line(1, "", "broker-config", "--out", "mq", "--renew", "admin")
    first = command_line(1, "", "broker-config", "--out", "mq", "--host", "b")
    assert here(capsys, first, MQBOARD_CA_PASSPHRASE="x").returncode == 0
    assert "ENCRYPTED" in (tmp_path / "mq/ca/ca.key").read_text()
    assert here(capsys, renew, MQBOARD_CA_PASSPHRASE="x").returncode == 0
    found = here(capsys, renew)
    assert found.returncode == 2 and "MQBOARD_CA_PASSPHRASE" in found.stderr
