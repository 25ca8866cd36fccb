"""Tests docs/api.md: it is what ./invoke docs writes, and its examples work; and what holds for all
paths: nobody comes in without a role, and what is sent is checked.
"""

import re

import httpx
import pytest
from fakeboard import FakeBoard
from fakebuild import bundle_files
from serving import Served
from waiting import wait_until

from ci.docs.api import api_page
from mqhost.fleet.server.app import MODULES, make_api
from mqhost.fleet.server.door.auth import role_of
from mqhost.fleet.server.door.users import ROLES
from mqhost.paths import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
OPEN = {("GET", "/healthz"), ("POST", "/login"), ("POST", "/logout")}
PATHS = [
    (method, route.path, role_of(route))
    for module in MODULES
    for route in module.router.routes
    for method in getattr(route, "methods", None) or ()
]


@pytest.fixture(scope="module")
def served(broker, tmp_path_factory):
    with Served(broker, tmp_path_factory.mktemp("state") / "fleet.db") as running:
        yield running


def test_the_page_is_what_the_server_says_now():
    assert api_page(PAGE) == PAGE, "docs/api.md is out of date: run ./invoke docs"


def test_every_path_is_on_the_page_with_its_role():
    for method, path, role in PATHS:
        if (method, path) not in OPEN:
            assert role in ROLES, (method, path)
            assert f"**`{method} {path}`** (`{role}`)" in PAGE
    assert "/api/board/repl" in PAGE and len(PATHS) > 25


def test_every_path_says_what_it_does():
    for methods in make_api().openapi()["paths"].values():
        for operation in methods.values():
            assert len(operation["description"]) > 20 and operation["tags"]


def filled(path):
    return re.sub(r"\{\w+\}", "1", path).replace("/1/1", "/1/pause")


@pytest.mark.parametrize("method, path, role", PATHS)
def test_without_a_login_nobody_gets_anything(served, method, path, role):
    served.without_users()
    served.fleet.users.add("anna", "look", "a long password")
    answer = served.client().request(method, filled(path), params={"prefix": "a/b"})
    if (method, path) in OPEN:
        assert answer.status_code in (200, 303, 422)
    else:
        assert answer.status_code == 401 and list(answer.json()) == ["error"]


@pytest.mark.parametrize("method, path, role", [one for one in PATHS if one[2] not in ("", "look")])
def test_a_lesser_role_gets_nothing_done(served, method, path, role):
    served.without_users()
    lesser = ROLES[ROLES.index(role) - 1]
    served.fleet.users.add("anna", lesser, "a long password")
    token = served.fleet.users.token("anna", "t", lesser)
    headers = {"Authorization": f"Bearer {token}"}
    asked = {"prefix": "a/b", "path": "/"}
    body = {} if method == "POST" else None
    answer = served.client().request(method, filled(path), params=asked, headers=headers, json=body)
    assert answer.status_code == 403 and role in answer.json()["error"], answer.text


@pytest.mark.parametrize(
    "path, body",
    [
        ("eval", {"code": 7}),
        ("eval", {"code": "x", "timeout": -1}),
        ("eval", {"code": "x", "more": 1}),
        ("eval", {"code": "x" * 300_000}),
        ("reset", {"mode": "bootloader"}),
        ("config", {}),
        ("config", {"set": {}, "push": {}}),
        ("config", {"set": {"no.such.key": 1}}),
        ("config", {"set": {}}),
        ("update", {"image": "../../etc"}),
        ("update", {"image": "%" * 64}),
    ],
)
def test_what_makes_no_sense_is_refused(served, broker, prefix, path, body):
    served.without_users()
    with FakeBoard(broker.port, prefix) as board:
        served.board(prefix)
        answer = served.http.post(f"/api/board/{path}", params={"prefix": prefix}, json=body)
        assert answer.status_code in (400, 422), answer.text
        assert not board.requests


HUGE = str(10**20)
ODD = ["/api/rollouts/" + HUGE, f"/api/audit?rollout={HUGE}", f"/api/audit?before={HUGE}"]
ODD += ["/api/audit?who=%00&prefix=%00", f"/api/audit?since={HUGE}", "/api/audit?since=nan"]
ODD += ["/api/audit?since=1e400", "/api/jobs/%00", f"/api/board/crashes?prefix=a&number={HUGE}"]
ODD += ["/api/boards?where=%00", "/api/boards?pattern=a%00", "/api/boards?limit=0", "/%00", "/%ff"]


@pytest.mark.parametrize("path", ODD)
def test_what_is_odd_breaks_nothing(served, path):
    served.without_users()
    assert served.http.get(path).status_code in (200, 400, 404, 422)


def test_what_was_sent_is_not_in_the_error(served):
    served.without_users()
    wish = {"set": {"broker.password": "hunter22"}, "extra": "hunter22"}
    answer = served.http.post("/api/board/config", params={"prefix": "a"}, json=wish)
    assert answer.status_code == 422 and "hunter22" not in answer.text


@pytest.mark.parametrize("prefix", ["+", "#", "a/#", "$SYS", "a\0b", "x" * 201, "a//b", "/a"])
def test_a_prefix_that_is_none_reaches_nobody(served, prefix):
    served.without_users()
    for path in ("info", "config", "crashes", "files", "log"):
        answer = served.http.get(f"/api/board/{path}", params={"prefix": prefix})
        assert answer.status_code in (404, 422), (path, answer.text)


def test_secrets_of_a_configuration_are_not_shown(served, broker, prefix):
    served.without_users()
    with FakeBoard(broker.port, prefix) as board:
        served.board(prefix)
        assert board.config["broker"]["password"] == "s3cret"
        answer = served.http.get("/api/board/config", params={"prefix": prefix})
        assert answer.json()["config"]["broker"]["password"] == "<secret broker.password>"
        assert "s3cret" not in answer.text


def test_keys_are_set_and_their_values_are_in_no_audit(served, broker, prefix):
    served.without_users()
    with FakeBoard(broker.port, prefix) as board:
        served.board(prefix)
        wish = {"set": {"broker.password": "hunter22", "log.level": "debug"}}
        where = {"prefix": prefix}
        job = served.http.post("/api/board/config", params=where, json=wish).json()
        wait_until(lambda: served.fleet.jobs.get(job["id"]).over.is_set(), 30)
        told = served.http.get(f"/api/jobs/{job['id']}").json()
        assert told["state"] == "done", told
        assert board.config["broker"]["password"] == "hunter22"
    entries = served.store.entries(board=prefix)
    assert entries[0].what == "config broker.password, log.level"
    assert not any("hunter22" in f"{entry}" for entry in entries) and "hunter22" not in str(told)


def test_the_examples_work(served, broker, tmp_path, monkeypatch, capsys):
    served.without_users()
    served.fleet.users.add("anna", "update", "a long password")
    names = {"URL": served.url, "TOKEN": served.fleet.users.token("anna", "t", "update")}
    files = bundle_files("9.9", board="sim")
    for name in ("app.bin", "image.json"):
        (tmp_path / name).write_bytes(files[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(httpx, "Client", Closing)
    with FakeBoard(broker.port, "farm/pump"):
        served.board("farm/pump")
        wait_until(lambda: served.fleet.live.get("farm/pump").online)
        for example in EXAMPLES:
            exec(compile(example, "docs/api.md", "exec"), names)
        Closing.close_all()
    out = capsys.readouterr().out
    assert "farm/pump 0.1.0" in out and "42" in out and "done It runs the new" in out
    assert "put /main.py" in out
    assert "'waves': [['farm/pump']]" in out and "{'" in out and "connected" in out
    assert len(EXAMPLES) == 5
    number = names["number"]
    assert served.store.rollout(number).state == "paused"


class Closing(httpx.Client):
    """A client that is closed at the end of the test."""

    made = []

    def __init__(self, **options):
        super().__init__(**options)
        self.made.append(self)

    @classmethod
    def close_all(cls):
        for one in cls.made:
            one.close()
