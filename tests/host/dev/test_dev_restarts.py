"""Tests which modules `mqboard dev` starts anew, by the files that changed."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mqhost.deploy.folder import Source
from mqhost.dev import applying
from mqhost.dev.applying import Development
from mqhost.manage.modules import Module

SOURCE = Source(Path("house"), "house", "", {"lamp": {}, "pump.control": {}}, {})
RECORDS = {
    "lamp": {"file": "/apps/0123/lamp.py"},
    "pump.control": {"file": "/apps/0123/pump/control.py"},
    "configured": {"file": "/apps/0123/lib/configured.py"},  # by the board's configuration alone
    "sysinfo": {"file": "firmware"},
}


@pytest.fixture
def restarted(monkeypatch, tmp_path):
    """Give restarted(*changed files) -> [what was done to modules], "forget" among it."""
    done = []
    listed = [Module.of({"name": name} | record) for name, record in RECORDS.items()]

    def change(session, action, name):
        done.append(f"{action} {name}")
        return {"name": name, "state": "running"}

    monkeypatch.setattr(applying, "list_modules", lambda session: SimpleNamespace(modules=listed))
    monkeypatch.setattr(applying, "change", change)
    board = SimpleNamespace(request=lambda command, body: done.append("forget"))
    development = Development(board, tmp_path)
    development._ident = "0123"

    def call(*touched):
        done.clear()
        return development._restart(SOURCE, set(touched)), list(done)

    return call


@pytest.mark.parametrize(
    ("touched", "names"),
    [
        (["lamp.py"], ["lamp"]),
        (["lamp.mpy", "lib/configured.py"], ["lamp", "configured"]),
        (["pump/control.py"], ["pump.control"]),
    ],
)
def test_a_modules_own_files_start_it_alone(restarted, touched, names):
    assert restarted(*touched)[1] == [f"restart {name}" for name in names]


@pytest.mark.parametrize("path", ["lib/rules.py", "pump/__init__.py", "table.csv"])
def test_what_others_use_starts_all_of_the_application(restarted, path):
    names = ["lamp", "pump.control", "configured"]
    assert restarted(path, "lamp.py")[1] == ["forget", *(f"restart {name}" for name in names)]


def test_who_was_disabled_for_crashes_runs_again_and_by_a_person_does_not(monkeypatch, tmp_path):
    done = []

    def change(session, action, name):
        done.append(action)
        return {"name": name, "state": "running"}

    monkeypatch.setattr(applying, "change", change)
    development = Development(SimpleNamespace(), tmp_path)
    person = Module.of({"name": "lamp", "state": "disabled", "disabled": "by a person"})
    crashed = Module.of({"name": "lamp", "state": "disabled", "disabled": "after 3 crashes"})
    assert development._start(person) is person and done == []
    assert development._start(crashed).state == "running" and done == ["enable"]
